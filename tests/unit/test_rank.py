"""Reading the tuned model's answer defensively."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.recommend.rank import RankFailed, parse_items, recommend_schema

TOKENS = {"<JKT-012>": "JKT-012", "<a%20;b>": "a b"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('{"items": ["<JKT-012>", "<a%20;b>"]}', ["JKT-012", "a b"]),
        ('{"items":["JKT-012"]}', ["JKT-012"]),
        ('```json\n{"items": ["<JKT-012>"]}\n```', ["JKT-012"]),
        ('{"items": ["<JKT-012>", "<JKT-012>", "<GHOST-1>", 7]}', ["JKT-012", "JKT-012", "GHOST-1", "7"]),
        ('{"items": ["<JKT-012>", "<a%20;b>", "<JK', ["JKT-012", "a b"]),
        ('{"items": ["<JKT-012>",', ["JKT-012"]),
        (' {\n "items": [\n "<JKT-012>"', ["JKT-012"]),
    ],
)
def test_lists_are_read_as_said(text: str, ids: list[str]) -> None:
    assert parse_items(text, TOKENS) == ids


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I recommend <JKT-012>, it is great.",
        "[1, 2]",
        '{"items": []}',
        '{"items": "<JKT-012>"}',
        '{"list": ["<JKT-012>"]}',
        '{"items": [',
        "null",
        "[" * 100_000,
    ],
)
def test_anything_else_is_no_list(text: str) -> None:
    with pytest.raises(RankFailed):
        parse_items(text, TOKENS)


@given(st.lists(st.sampled_from([*TOKENS]), min_size=1, max_size=8), st.data())
def test_a_cut_answer_gives_a_beginning_of_the_list(tokens: list[str], data: st.DataObject) -> None:
    whole = json.dumps({"items": tokens})
    cut = data.draw(st.integers(len('{"items": ["'), len(whole)))
    try:
        ids = parse_items(whole[:cut], TOKENS)
    except RankFailed:
        assert cut < len('{"items": [') + len(json.dumps(tokens[0]))
    else:
        assert ids == [TOKENS[token] for token in tokens][: len(ids)]


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(RankFailed):
        assert parse_items(text, TOKENS)


def test_the_schema_names_the_candidates_and_has_properties_at_the_top() -> None:
    schema = recommend_schema(["<a>", "<b>"], 2)
    assert schema["properties"] == {
        "items": {"type": "array", "items": {"type": "string", "enum": ["<a>", "<b>"]}, "minItems": 1, "maxItems": 2}
    }
