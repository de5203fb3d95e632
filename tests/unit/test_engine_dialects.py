"""What each engine is sent, and how its answers are read."""

from __future__ import annotations

import pytest
from recsys_gateway.config import EngineType
from recsys_gateway.engines.dialect import ChatCall
from recsys_gateway.engines.registry import DIALECTS, dialect_of

SCHEMA = {"type": "object", "properties": {"items": {"type": "array"}}}
CALL = ChatCall(
    messages=[("system", "rank"), ("user", "hello")],
    max_tokens=20,
    temperature=0.0,
    top_k=5,
    top_p=1.0,
    seed=7,
    schema=SCHEMA,
)


def body(engine: EngineType, *, stream: bool = False) -> dict[str, object]:
    return dialect_of(engine).chat_body("my-model", CALL, stream=stream)


@pytest.mark.parametrize("engine", DIALECTS)
def test_every_engine_gets_messages_seed_and_bounds(engine: EngineType) -> None:
    sent = body(engine)
    assert sent["messages"] == [{"role": "system", "content": "rank"}, {"role": "user", "content": "hello"}]
    assert (sent["max_tokens"], sent["temperature"], sent["seed"], sent["stream"]) == (20, 0.0, 7, False)
    assert "stream_options" not in sent
    assert body(engine, stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("engine", DIALECTS)
def test_what_is_not_given_is_left_to_the_engine(engine: EngineType) -> None:
    sent = dialect_of(engine).chat_body("m", ChatCall([("user", "x")], 5), stream=False)
    assert {"temperature", "top_k", "top_p", "seed", "response_format"}.isdisjoint(sent)


def test_llama_cpp_is_given_the_schema_where_it_looks_and_no_cached_prefix() -> None:
    sent = body(EngineType.LLAMA_CPP)
    assert sent["response_format"] == {"type": "json_object", "schema": SCHEMA, "value": SCHEMA}
    assert (sent["model"], sent["top_k"], sent["cache_prompt"]) == ("my-model", 5, False)


def test_an_openai_endpoint_is_given_a_json_schema_and_no_field_that_it_does_not_know() -> None:
    sent = body(EngineType.OPENAI)
    assert sent["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert "top_k" not in sent


def test_tgi_is_called_tgi_gets_value_and_never_top_p_of_one() -> None:
    sent = body(EngineType.TGI)
    assert sent["model"] == "tgi"
    assert sent["response_format"]["value"] == SCHEMA  # type: ignore[index]  # JSON
    assert {"top_p", "top_k"}.isdisjoint(sent)


def test_llama_cpp_counts_many_texts_in_one_call() -> None:
    dialect = dialect_of(EngineType.LLAMA_CPP)
    assert dialect.tokenize_body(["one", "", "two"])["content"] == ["one", -1, "", -1, "two", -1]
    assert dialect.token_counts({"tokens": [5, 6, -1, -1, 7, -1]}, 3) == [2, 0, 1]


def test_tgi_counts_one_text_without_its_special_tokens() -> None:
    dialect = dialect_of(EngineType.TGI)
    assert dialect.tokenize_body(["The"]) == {"inputs": "The"}
    begin, word = {"id": 0, "text": "", "start": 0, "stop": 0}, {"id": 294, "text": "The", "start": 0, "stop": 3}
    assert dialect.token_counts([begin, word], 1) == [1]


def test_sglang_counts_many_texts_in_one_call() -> None:
    """python/sglang/srt/entrypoints/openai/serving_tokenize.py: a list of prompts gives a list of counts."""
    dialect = dialect_of(EngineType.SGLANG)
    assert dialect.tokenize_body(["one", "two"]) == {"prompt": ["one", "two"], "add_special_tokens": False}
    assert dialect.token_counts({"tokens": [[1, 2], [3]], "count": [2, 1], "max_model_len": -1}, 2) == [2, 1]


@pytest.mark.parametrize(
    ("engine", "answer"),
    [
        (EngineType.SGLANG, {"count": 3}),
        (EngineType.SGLANG, {"count": [1, 2]}),
        (EngineType.LLAMA_CPP, {}),
        (EngineType.LLAMA_CPP, []),
        (EngineType.LLAMA_CPP, {"tokens": [5, 6]}),
        (EngineType.TGI, {}),
        (EngineType.TGI, [1]),
    ],
)
def test_counts_of_something_else_are_refused(engine: EngineType, answer: object) -> None:
    with pytest.raises(ValueError, match="tokenize"):
        dialect_of(engine).token_counts(answer, 1)


def test_an_overload_is_told_from_an_error() -> None:
    assert dialect_of(EngineType.LLAMA_CPP).overloaded(503, "Loading model")
    assert not dialect_of(EngineType.LLAMA_CPP).overloaded(500, "")
    in_a_stream = '{"error":{"message":"Model is overloaded","http_status_code":422}}'
    assert dialect_of(EngineType.TGI).overloaded(200, in_a_stream)
    assert not dialect_of(EngineType.TGI).overloaded(422, "Input validation error")


def test_every_engine_of_the_resource_has_a_dialect() -> None:
    assert {dialect_of(engine).engine for engine in EngineType} == set(EngineType)
