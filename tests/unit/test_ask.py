"""`recsys ask`: how filters are typed, and how an answer looks."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.client import GatewayError
from recsys_operator.ask import AskError, parse_filters, show
from rich.console import Console

ANSWER = {
    "id": "rec-1",
    "items": [
        {
            "id": "JKT-012",
            "title": "Fjord [light] jacket",
            "price": 79.5,
            "score": 0.91234,
            "reason": "fits the query",
            "confirmed_by": ["text", "history"],
        },
        {"id": "JKT-013", "title": "Rain shell", "score": 0.5, "reason": None, "confirmed_by": []},
    ],
    "answer": "Take the [bold]Fjord jacket.",
    "ild": {"cosine": 0.41, "genre": 0.25},
    "tokens": {"prompt": 300, "completion": 20, "plain_prompt": 1200, "saved": 900, "by_stage": {}},
    "timings_ms": {"retrieve": 12.3, "rank": 210.9},
    "degraded": [],
    "seed": 1,
}


def shown(answer: object, width: int = 120) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width), json.dumps(answer).encode())
    return out.getvalue()


@pytest.mark.parametrize(
    ("typed", "filters"),
    [
        (["brand=Northwind"], {"brand": "Northwind"}),
        (["price=80"], {"price": 80}),
        (["in_stock=true"], {"in_stock": True}),
        (["price=20..80"], {"price": {"gte": 20, "lte": 80}}),
        (["price=..80"], {"price": {"lte": 80}}),
        (["price=20.5.."], {"price": {"gte": 20.5}}),
        (["brand=A", "brand=B"], {"brand": {"in": ["A", "B"]}}),
        (["title=a=b"], {"title": "a=b"}),
        (["title=wait..what"], {"title": "wait..what"}),
        (["title=.."], {"title": ".."}),
        (["size=NaN"], {"size": "NaN"}),
        (["note="], {"note": ""}),
        (["note=null"], {"note": "null"}),
        (["note=[1]"], {"note": "[1]"}),
    ],
)
def test_filters(typed: list[str], filters: dict[str, object]) -> None:
    assert parse_filters(typed) == filters


@pytest.mark.parametrize("typed", ["brand", "=x", " =x"])
def test_a_filter_needs_a_field_and_a_value(typed: str) -> None:
    with pytest.raises(ValueError, match="expected FIELD=VALUE"):
        parse_filters([typed])


@pytest.mark.parametrize("typed", [["price=20..80", "price=30..40"], ["price=20..80", "price=5"]])
def test_a_range_stands_alone(typed: list[str]) -> None:
    with pytest.raises(ValueError, match=r"price: give one range such as 20\.\.80, or single values"):
        parse_filters(typed)


@given(st.text(), st.text())
def test_any_text_is_a_filter_that_json_can_carry(name: str, value: str) -> None:
    try:
        filters = parse_filters([f"{name}={value}"])
    except ValueError:
        assert not name.partition("=")[0].strip()
    else:
        json.dumps(filters, allow_nan=False)


def test_an_answer_shows_items_sentence_saving_and_times() -> None:
    text = shown(ANSWER)
    assert "JKT-012" in text
    assert "Fjord [light] jacket" in text
    assert "79.50" in text
    assert "0.912" in text
    assert "text, history" in text
    assert "Take the [bold]Fjord jacket." in text
    assert "tokens 300 + 20, 75% saved against the plain prompt (1200)" in text
    assert "diversity (ILD) cosine 0.41, genre 0.25" in text
    assert "ms: retrieve 12 · rank 211" in text
    assert "degraded" not in text
    assert "sample" not in text


def test_what_is_degraded_is_said() -> None:
    degraded = [{"stage": "rank", "reason": "no_model", "detail": "no tuned model"}]
    assert "degraded: rank: no_model: no tuned model" in shown(ANSWER | {"degraded": degraded})


def test_sample_models_are_called_that() -> None:
    models = {"tuned": {"name": "sample-tuned", "sample": True}, "base": {"name": "big", "sample": False}}
    assert "(sample models: tuned)" in shown(ANSWER | {"models": models})


def test_no_items_is_said_once_and_nothing_is_measured() -> None:
    said = "Nothing in the catalogue fits this request."
    assert shown(ANSWER | {"items": [], "answer": said}) == f"{said}\n"


def test_what_is_degraded_is_said_of_an_empty_list_too() -> None:
    text = shown(ANSWER | {"items": [], "degraded": [{"stage": "retrieve", "reason": "no_store"}]})
    assert "degraded: retrieve: no_store" in text


def test_the_sentence_comes_before_the_items() -> None:
    text = shown(ANSWER)
    assert text.startswith("Take the [bold]Fjord jacket.")
    assert "score: relevance; the order also weighs diversity" in text.replace("\n", " ")


def test_a_narrow_terminal_has_an_item_on_one_line() -> None:
    text = shown(ANSWER, width=80)
    assert "confirmed by" not in text
    assert any("JKT-012" in line and "fits the query" in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ({"title": "Bad", "detail": "k: too big", "errors": [{"path": "k", "message": "too big"}]}, "Bad: k: too big"),
        ({"title": "Bad"}, "Bad"),
        ({}, "HTTP 422"),
        ([], "HTTP 422"),
    ],
)
def test_a_refusal_is_told_once(problem: object, told: str) -> None:
    assert str(GatewayError(422, json.dumps(problem).encode())) == told


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"items": [1]}', b'{"items": [{"id": 1}]}'])
def test_what_is_no_answer_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(AskError, match="not an answer of a recsys gateway"):
        show(Console(file=io.StringIO()), body)
