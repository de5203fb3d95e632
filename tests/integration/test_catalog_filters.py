"""A filter means the same to Milvus, as an expression, as to verification, as a predicate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.filters import ITEM_FIELDS, FieldKind, parse_filters
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import item_row
from recsys_gateway.catalog.writing import CatalogWriter

from .conftest import MilvusLite

FIELDS = {
    **ITEM_FIELDS,
    "brand": FieldKind.TEXT,
    'odd "name"\\': FieldKind.TEXT,
    "year": FieldKind.NUMBER,
    "vegan": FieldKind.BOOLEAN,
}
TEXTS = [
    'O"Neil',
    "O'Neil",
    "back\\slash",
    "두 줄\n둘째",
    "tab\there",
    "비옷",
    "🧥",
    "a%b_c",
    "\x01",
    ']) or (id != "',
    "",
]
NUMBERS: list[float] = [-3, 0, 0.1, 1.5, 2, 1999, 2**53, 1e-7, -1e12]
FILLED = [text for text in TEXTS if text]


class Encoder:
    dimension = 2

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.ones((len(texts), 2), np.float32)


@st.composite
def items(draw: st.DrawFn) -> list[Item]:
    count = draw(st.integers(1, 12))
    found = []
    for number in range(count):
        attributes: dict[str, str | int | float | bool] = {}
        for name, values in (
            ("brand", TEXTS),
            ('odd "name"\\', TEXTS),
            ("year", NUMBERS),
            ("vegan", [True, False]),
        ):
            if draw(st.booleans()):
                attributes[name] = draw(st.sampled_from(values))
        found.append(
            Item(
                id=f"{number}-{draw(st.sampled_from(TEXTS))}",
                title=draw(st.sampled_from(FILLED)),
                categories=tuple(draw(st.lists(st.sampled_from(FILLED), unique=True, max_size=3))),
                price=draw(st.none() | st.sampled_from(NUMBERS)),
                in_stock=draw(st.booleans()),
                attributes=attributes,
            )
        )
    return found


def values_of(kind: FieldKind) -> st.SearchStrategy[object]:
    match kind:
        case FieldKind.NUMBER:
            return st.sampled_from(NUMBERS)
        case FieldKind.BOOLEAN:
            return st.booleans()
        case _:
            return st.sampled_from(TEXTS)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, object]:
    raw: dict[str, object] = {}
    for field in draw(st.lists(st.sampled_from(list(FIELDS)), min_size=1, max_size=2, unique=True)):
        kind = FIELDS[field]
        operators = ["equal", "in", *(["bounds"] if kind is FieldKind.NUMBER else [])]
        match draw(st.sampled_from(operators)):
            case "equal":
                raw[field] = draw(values_of(kind))
            case "in":
                raw[field] = {"in": draw(st.lists(values_of(kind), max_size=3))}
            case _:
                bounds = st.sampled_from(["gt", "gte", "lt", "lte"])
                raw[field] = draw(st.dictionaries(bounds, values_of(kind), min_size=1, max_size=2))
    return raw


@pytest.fixture(scope="module")
def writer(shared_milvus: MilvusLite) -> Iterator[CatalogWriter]:
    with CatalogWriter(shared_milvus.config) as opened:
        prepare(opened, Encoder())
        yield opened


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(catalogue=items(), requests=st.lists(conditions(), min_size=4, max_size=8))
def test_an_expression_finds_what_the_predicate_passes(
    writer: CatalogWriter, catalogue: list[Item], requests: list[dict[str, object]]
) -> None:
    writer.remove(schema.ITEMS, [row["id"] for row in writer.all_rows(schema.ITEMS, [])])
    writer.write(schema.ITEMS, [item_row(item, np.ones(2, np.float32), None, "") for item in catalogue])
    for raw in requests:
        filters = parse_filters(raw, FIELDS)
        rows = writer.query(schema.ITEMS, filters.expression(), [])
        assert {row["id"] for row in rows} == {item.id for item in catalogue if filters.matches(item)}, raw
