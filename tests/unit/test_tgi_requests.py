"""What OpenAI's clients send, as TGI's router is told it; what it could not honour is refused and not left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from recsys_gateway.engines.dialect import CannotTranslate
from recsys_gateway.engines.tgi_requests import tgi_request

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]


def told(**fields: Any) -> dict[str, object]:
    """The fields beside model and messages after translation."""
    body = {"model": "base", "messages": [], **fields}
    before = copy.deepcopy(body)
    changed = tgi_request(CHAT, body, "tgi")
    assert body == before, "the client's own body is not touched"
    assert changed.pop("model") == "tgi"
    del changed["messages"]
    return changed


@pytest.mark.parametrize(
    ("sent", "translated"),
    [
        ({"stop": "fox"}, {"stop": ["fox"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"top_p": 1}, {}),
        ({"top_p": 1.0, "temperature": 0}, {"temperature": 0}),
        ({"top_p": 0.5}, {"top_p": 0.5}),
        ({"top_p": 7}, {"top_p": 7}),  # out of range: the engine says so itself
        ({"n": 1, "stop": None, "seed": None}, {}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "p", "schema": SCHEMA, "strict": True},
                }
            },
            {"response_format": {"type": "json_object", "value": SCHEMA}},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"response_format": {"type": "json_object", "value": {"type": "object", "properties": {}}}},
        ),
        (
            {"response_format": {"type": "json_object", "value": SCHEMA}},
            {"response_format": {"type": "json_object", "value": SCHEMA}},
        ),
        ({"tools": []}, {}),
        ({"tools": [], "tool_choice": "auto"}, {}),
        ({"tools": TOOLS, "tool_choice": "none"}, {}),
        ({"tools": TOOLS, "response_format": {"type": "text"}}, {"tools": TOOLS}),
    ],
)
def test_it_means_the_same(sent: dict[str, Any], translated: dict[str, Any]) -> None:
    assert told(**sent) == translated


def test_a_schema_behind_a_reference_shows_its_properties() -> None:
    schema = {"$ref": "#/$defs/P", "$defs": {"P": SCHEMA}}
    form = told(response_format={"type": "json_schema", "json_schema": {"schema": schema}})["response_format"]
    assert form == {"type": "json_object", "value": {**SCHEMA, "$defs": {"P": SCHEMA}}}


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"n": 2}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"presence_penalty": -2}, "presence_penalty"),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}}, "response_format"),
        ({"response_format": {"type": "poem"}}, "response_format"),
    ],
)
def test_what_it_cannot_do_is_refused_by_its_field(sent: dict[str, Any], field: str) -> None:
    with pytest.raises(CannotTranslate) as caught:
        told(**sent)
    assert caught.value.param == field


def test_a_suffix_is_refused() -> None:
    with pytest.raises(CannotTranslate):
        tgi_request("/v1/completions", {"prompt": "a", "suffix": "b"}, "tgi")
