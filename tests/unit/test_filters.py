"""Filters of a request: what is taken, what is refused, and what they mean. (That Milvus reads the expressions the
same way is tested against a real one in tests/integration/test_catalog_filters.py.)
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.filters import (
    ITEM_FIELDS,
    MAX_TEXT,
    MAX_VALUES,
    NO_FILTERS,
    FieldKind,
    FilterError,
    literal,
    parse_filters,
)
from recsys_gateway.catalog.records import Item

FIELDS = {
    **ITEM_FIELDS,
    "brand": FieldKind.TEXT,
    "year": FieldKind.NUMBER,
    "vegan": FieldKind.BOOLEAN,
}
JACKET = Item(
    "JKT-001",
    "Rain Jacket",
    categories=("Jackets", "Hiking"),
    price=80.0,
    attributes={"brand": 'O"Neil', "year": 2024, "vegan": True},
)


@pytest.mark.parametrize(
    ("raw", "expression"),
    [
        ({}, ""),
        ({"price": 80}, "(price == 80)"),
        ({"price": {"gte": 10, "lt": 99.5}}, "price >= 10 and (price < 99.5 and price >= -9007199254740992)"),
        ({"in_stock": True}, "(in_stock == true)"),
        ({"categories": "Jackets"}, '(array_contains(categories, "Jackets"))'),
        ({"categories": {"in": ["A", "B"]}}, '(array_contains(categories, "A") or array_contains(categories, "B"))'),
        ({"brand": 'O"Neil'}, '(attributes["brand"] == "O\\"Neil")'),
        ({"brand": "a\\b\nc"}, '(attributes["brand"] == "a\\\\b\\nc")'),
        ({"id": {"in": []}}, 'id == ""'),
        ({"year": {"gt": -1}, "vegan": False}, 'attributes["year"] > -1 and (attributes["vegan"] == false)'),
    ],
)
def test_a_filter_becomes_an_expression_with_escaped_literals(raw: dict[str, object], expression: str) -> None:
    assert parse_filters(raw, FIELDS).expression() == expression


@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        ({}, True),
        ({"price": {"gte": 80, "lte": 80}}, True),
        ({"price": {"gt": 80}}, False),
        ({"price": {"lt": 80}}, False),
        ({"price": {"in": [1, 80]}}, True),
        ({"categories": "Hiking"}, True),
        ({"categories": "hiking"}, False),
        ({"categories": {"in": ["Tents", "Jackets"]}}, True),
        ({"brand": {"in": []}}, False),
        ({"brand": 'O"Neil', "year": {"gte": 2024}}, True),
        ({"brand": 'O"Neil', "year": {"gte": 2025}}, False),
        ({"vegan": True, "id": "JKT-001", "title": "Rain Jacket", "in_stock": True}, True),
    ],
)
def test_a_filter_says_whether_an_item_passes(raw: dict[str, object], passes: bool) -> None:
    assert parse_filters(raw, FIELDS).matches(JACKET) is passes


def test_an_item_without_the_field_does_not_pass() -> None:
    bare = Item("X", "Thing")
    for raw in ({"price": {"lt": 10}}, {"brand": "A"}, {"year": 1}, {"vegan": False}, {"categories": "A"}):
        assert not parse_filters(raw, FIELDS).matches(bare)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"colour": "red"}, ["'colour'", "brand, categories, id"]),
        ({"price": "80"}, ["filters.price", "number", "'80'"]),
        ({"price": True}, ["filters.price", "number"]),
        ({"price": float("nan")}, ["filters.price", "finite"]),
        ({"price": 10**30}, ["filters.price", "2^53"]),
        ({"price": 2**53 + 1}, ["filters.price", "2^53"]),
        ({"price": {"gte": -1e300}}, ["filters.price", "2^53"]),
        ({"price": {"in": [1, 2**63]}}, ["filters.price", "2^53"]),
        ({"year": None}, ["filters.year", "None"]),
        ({"vegan": 1}, ["filters.vegan", "true or false"]),
        ({"brand": 7}, ["filters.brand", "text", "7"]),
        ({"brand": ["A"]}, ["filters.brand", "text", "['A']"]),
        ({"brand": {"gte": "A"}}, ["filters.brand.gte", "only numbers"]),
        ({"brand": {}}, ["filters.brand", "operator", "in"]),
        ({"price": {"between": [1, 2]}}, ["filters.price", "'between'", "gte"]),
        ({"price": {"in": 5}}, ["filters.price.in", "list"]),
        ({"price": {"in": [1] * (MAX_VALUES + 1)}}, ["filters.price.in", str(MAX_VALUES)]),
        ({"title": "x" * (MAX_TEXT + 1)}, ["filters.title", str(MAX_TEXT)]),
        ({"title": "\ud800"}, ["filters.title", "Unicode"]),
    ],
)
def test_what_cannot_work_is_refused_with_the_field_and_what_would(raw: dict[str, object], words: list[str]) -> None:
    with pytest.raises(FilterError) as refused:
        parse_filters(raw, FIELDS)
    for word in words:
        assert word in str(refused.value)
    assert len(str(refused.value)) < 400


def test_no_filters_are_equal_to_an_empty_request() -> None:
    assert parse_filters({}, FIELDS) == NO_FILTERS
    assert hash(parse_filters({"price": 1}, FIELDS)) == hash(parse_filters({"price": 1}, FIELDS))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_ends_where_it_should(text: str) -> None:
    written = literal(text)
    inside = written[1:-1].replace("\\\\", "").replace('\\"', "")
    assert written[0] == written[-1] == '"'
    assert '"' not in inside
    assert "\n" not in written
    assert "\r" not in written


JSON = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
CONDITION = (
    JSON | st.lists(JSON, max_size=3) | st.dictionaries(st.sampled_from(["gte", "lt", "in", "x"]), JSON, max_size=2)
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "nothing"]), CONDITION, max_size=3))
def test_any_json_is_a_filter_or_a_filter_error(raw: dict[str, object]) -> None:
    try:
        filters = parse_filters(raw, FIELDS)
    except FilterError:
        return
    assert isinstance(filters.matches(JACKET), bool)
    filters.expression().encode()
