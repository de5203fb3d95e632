"""Reading engines' answers, whole and streamed, wherever the network cuts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.serving.completions import (
    Completion,
    Part,
    StreamFailed,
    TokenUsage,
    parse_completion,
    parse_first_token,
    parse_json,
    read_parts,
)
from recsys_gateway.serving.failures import UpstreamInvalid, UpstreamUnavailable

STREAM = (
    b": a comment\r\n\r\n"
    b'data: {"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}\n\n'
    + 'data: {"choices":[{"delta":{"content":"재킷 "},"finish_reason":null}]}\r\n\r\n'.encode()
    + b'event: x\ndata: {"choices":[{"delta":{"content":"[1]"},"finish_reason":null}],"usage":null}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


async def pieces(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        yield data[start:end]


async def read(data: bytes, cuts: list[int] | None = None) -> list[Part]:
    return [part async for part in read_parts(pieces(data, cuts or []))]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
async def test_a_stream_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    parts = await read(STREAM, cuts)
    assert "".join(part.text for part in parts) == "재킷 [1]"
    assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    assert [part.usage for part in parts if part.usage] == [TokenUsage(9, 2)]


@pytest.mark.parametrize("data", [b"", STREAM[:200], b'data: {"choices":[]}\n\ndata: [DONE]\n\n'])
async def test_a_stream_without_an_end_broke_off(data: bytes) -> None:
    with pytest.raises(UpstreamUnavailable):
        await read(data)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"error":{"message":"Model is overloaded","http_status_code":422}}\n\ndata: [DONE]\n\n',
        b'data: {"error":"Input validation error","error_type":"validation"}\n\n',
        b'error: {"code":500,"message":"slot failed"}\n\n',
    ],
)
async def test_an_error_inside_a_stream_is_told(data: bytes) -> None:
    with pytest.raises(StreamFailed):
        await read(data)


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: " + b"x" * (2 << 20)])
async def test_a_stream_of_something_else_is_invalid(data: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        await read(data)


def test_a_whole_answer() -> None:
    body = parse_json(
        b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    )
    assert parse_completion(body) == Completion("hi", "length", TokenUsage(3, 1))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":[{"message":{"content":null}}]}',
        b"<html>",
        b"[" * 100_000,
    ],
)
def test_an_answer_of_something_else_is_invalid(body: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        parse_completion(parse_json(body))


def told(*alternatives: object, **more: object) -> dict[str, object]:
    """An answer with ``alternatives`` of its first token."""
    first = {"token": "A", "logprob": -0.1, "top_logprobs": list(alternatives)}
    choice = {"message": {"content": "A"}, "logprobs": {"content": [first]}, "finish_reason": "length"}
    return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}, **more}


TOP = [("A", -0.1), ("B", -2.5)]
SHAPES = {
    # huggingface/text-generation-inference 3.3.7, captured: no more than these two fields
    "TGI": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}],
    # vllm-project/vllm 0.29.0, vllm/entrypoints/openai/chat_completion/protocol.py, ChatCompletionLogProb
    "vLLM": [{"token": "A", "logprob": -0.1, "bytes": [65]}, {"token": "B", "logprob": -2.5, "bytes": None}],
    # sgl-project/sglang 0.5, python/sglang/srt/entrypoints/openai/protocol.py, TopLogprob: the same fields as OpenAI's
    "SGLang": [{"token": "A", "bytes": [65], "logprob": -0.1}, {"token": "B", "bytes": [66], "logprob": -2.5}],
    # ggml-org/llama.cpp, tools/server, as xllamacpp 2026.10 answers (tests/integration/test_llama_cpp_engine.py)
    "llama.cpp": [
        {"id": 37, "token": "A", "bytes": [65], "logprob": -0.1},
        {"id": 38, "token": "B", "bytes": [66], "logprob": -2.5},
    ],
    # ollama/ollama 0.33, api/types.go, TokenLogprob
    "Ollama": [{"token": "A", "logprob": -0.1, "bytes": [65]}, {"token": "B", "logprob": -2.5, "bytes": [66]}],
}


@pytest.mark.parametrize("engine", SHAPES)
def test_the_alternatives_of_the_first_token(engine: str) -> None:
    answer = parse_first_token(told(*SHAPES[engine]))
    assert list(answer.log_probabilities) == TOP
    assert answer.usage == TokenUsage(9, 1)


def test_alternatives_are_sorted_and_those_without_a_finite_number_left_out() -> None:
    """vLLM writes -9999 for minus infinity; others let it through as null, or as a word that Python reads."""
    given = [{"token": "B", "logprob": -2.5}, {"token": "A", "logprob": -0.1}]
    given += [{"token": "C", "logprob": None}, {"token": "D", "logprob": -float("inf")}, {"logprob": -1.0}, "E"]
    assert list(parse_first_token(told(*given)).log_probabilities) == TOP


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": []},
        {"choices": [{"message": {"content": "A"}}]},
        {"choices": [{"message": {"content": "A"}, "logprobs": None}]},
        {"choices": [{"logprobs": {"content": []}}]},
        told(),
        told({"token": "A", "logprob": None}),
        [],
        None,
    ],
)
def test_an_answer_without_log_probabilities_is_invalid(body: object) -> None:
    """TGI's completions route and engines that ignore the field answer so."""
    with pytest.raises(UpstreamInvalid):
        parse_first_token(body)
