"""The fake engine does what TGI's captured exchanges show, keeps its slots and its time, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from fake_engine.process import FakeEngineProcess

CHAT = "/v1/chat/completions"
SHARED = os.environ.get("RECSYS_SHARED")
CAPTURES = sorted(Path(SHARED, "contracts", "tgi").glob("*.http")) if SHARED else []
HELD = re.compile(
    r"^(01[0-4]|020|022|030|20[0-46]|21[0-9]|219b|23[0-79]|24[0-3]|243b|25[0-9]|26[0134]|30[0126]|305|"
    r"444|44[6-9]|45[023]|46[01])-"
)
"""The captured exchanges that a client here may provoke, but for those that a tokenizer (where max_tokens cuts) or
the words of a JSON parser decide."""


@pytest.fixture
def tgi() -> Iterator[FakeEngineProcess]:
    with FakeEngineProcess(token_ms=1, slots=2) as engine:
        yield engine


@pytest.fixture
def vllm() -> Iterator[FakeEngineProcess]:
    with FakeEngineProcess(dialect="vllm", token_ms=1, slots=2) as engine:
        yield engine


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


def chat(tokens: int, **more: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"hello @@N:{tokens}@@"}], "max_tokens": 1000, **more}


async def ask(session: aiohttp.ClientSession, engine: FakeEngineProcess, body: dict[str, Any]) -> tuple[int, str]:
    async with session.post(engine.url + CHAT, json=body) as response:
        return response.status, await response.text()


def gauge(engine: FakeEngineProcess, name: str) -> float:
    """A series that is absent is zero."""
    found = re.search(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", engine.metrics(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def until(reads: Callable[[], float], value: float) -> None:
    """Wait until ``reads()`` is ``value``."""
    deadline = time.monotonic() + 10
    while (read := reads()) != value:
        assert time.monotonic() < deadline, f"{read} and not {value} after 10 s"
        await asyncio.sleep(0.01)


async def test_an_answer_takes_its_tokens_and_a_second_one_waits_for_a_slot(session: aiohttp.ClientSession) -> None:
    with FakeEngineProcess(slots=1, token_ms=2) as engine:
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(session, engine, chat(100)) for _ in range(2)))
        took = time.monotonic() - began
        report = engine.control()
    assert [json.loads(text)["usage"]["completion_tokens"] for _, text in answers] == [101, 101]
    assert took >= 0.4
    assert (report["max_running"], report["served"], report["tokens_served"]) == (1, 2, 200)


async def test_a_stream_has_an_event_a_token_and_ends_with_done(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess
) -> None:
    _, text = await ask(session, tgi, chat(3, stream=True, stream_options={"include_usage": True}))
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    deltas = [json.loads(event) for event in events[:-1]]
    assert [part["choices"][0]["delta"]["content"] for part in deltas[:-1]] == [" The", " quick", " brown", ""]
    assert deltas[-1]["usage"]["completion_tokens"] == 4
    assert events[-1] == "[DONE]"


async def test_speed_changes_what_runs(session: aiohttp.ClientSession) -> None:
    with FakeEngineProcess(token_ms=1000) as engine:
        call = asyncio.create_task(ask(session, engine, chat(500)))
        await until(lambda: engine.control()["running"], 1)
        engine.control(speed=100_000)
        assert (await call)[0] == 200


async def test_metrics_are_empty_before_the_first_request_and_count_after(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess
) -> None:
    assert tgi.metrics() == ""
    await ask(session, tgi, chat(50))
    assert gauge(tgi, "tgi_request_count") == 2
    assert gauge(tgi, "tgi_queue_size") == gauge(tgi, "tgi_batch_current_size") == 0
    assert 'tgi_batch_inference_count{method="decode"} ' in tgi.metrics()


async def test_an_aborted_request_gives_its_slot_back_and_a_queued_one_counts_until_its_turn(
    session: aiohttp.ClientSession,
) -> None:
    with FakeEngineProcess(slots=1, token_ms=100) as engine:
        running, first, second = [asyncio.create_task(ask(session, engine, chat(100))) for _ in range(3)]
        await until(lambda: gauge(engine, "tgi_queue_size"), 2)
        second.cancel()
        await until(lambda: engine.control()["aborted"], 1)
        assert gauge(engine, "tgi_queue_size") == 2
        running.cancel()
        first.cancel()
        await until(lambda: engine.control()["aborted"], 3)
        assert gauge(engine, "tgi_queue_size") == gauge(engine, "tgi_batch_current_size") == 0


async def test_vllm_forgets_a_queued_request_at_once(session: aiohttp.ClientSession) -> None:
    with FakeEngineProcess(dialect="vllm", slots=1, token_ms=100) as engine:
        calls = [asyncio.create_task(ask(session, engine, chat(100))) for _ in range(3)]
        await until(lambda: gauge(engine, "vllm:num_requests_waiting"), 2)
        calls[2].cancel()
        await until(lambda: gauge(engine, "vllm:num_requests_waiting"), 1)
        assert 0 < gauge(engine, "vllm:kv_cache_usage_perc") <= 1
        for call in calls:
            call.cancel()


async def test_overload_of_tgi_is_a_429_and_an_event_inside_a_stream(session: aiohttp.ClientSession) -> None:
    with FakeEngineProcess(slots=1, token_ms=100, max_concurrent=2) as engine:
        calls = [asyncio.create_task(ask(session, engine, chat(100))) for _ in range(2)]
        await until(lambda: gauge(engine, "tgi_queue_size"), 1)
        assert await ask(session, engine, chat(1, top_p=2)) == (
            429,
            '{"error":"Model is overloaded","error_type":"overloaded"}',
        )
        assert await ask(session, engine, chat(1, stream=True)) == (
            200,
            'data: {"error":{"message":"Model is overloaded","http_status_code":422}}\n\ndata: [DONE]\n\n',
        )
        for call in calls:
            call.cancel()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"stop": "fox"}, 'stop: invalid type: string "fox", expected a sequence at line 1 column'),
        ({"response_format": {"type": "json_object"}}, "response_format: missing field `value`"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format: missing field `value`"),
        ({"response_format": {"type": "text"}}, "unknown variant `text`"),
        ({"top_p": 1}, "`top_p` must be > 0.0 and < 1.0"),
        ({"tools": []}, "Tool error: Failed to parse generated text: expected value at line 1 column 2"),
    ],
)
async def test_what_an_openai_client_sends_and_tgi_refuses(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess, more: dict[str, object], said: str
) -> None:
    status, text = await ask(session, tgi, chat(3, **more))
    assert status == 422
    assert said in text


async def test_a_schema_is_answered_by_json_that_fits_it(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess, vllm: FakeEngineProcess
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "items": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "uniqueItems": True},
        },
    }
    for engine, form in (
        (tgi, {"type": "json_object", "value": schema}),
        (vllm, {"type": "json_schema", "json_schema": {"name": "p", "schema": schema}}),
    ):
        _, text = await ask(session, engine, chat(3, response_format=form))
        answer = json.loads(json.loads(text)["choices"][0]["message"]["content"])
        assert answer == {"name": "fox", "age": 3, "items": ["a", "b"]}


async def test_a_tool_is_called_with_arguments_that_fit(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess, vllm: FakeEngineProcess
) -> None:
    parameters = {"type": "object", "properties": {"place": {"type": "string", "enum": ["Paris", "Seoul"]}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    for engine, reason in ((tgi, "stop"), (vllm, "tool_calls")):
        choice = json.loads((await ask(session, engine, chat(3, tools=tools)))[1])["choices"][0]
        function = choice["message"]["tool_calls"][0]["function"]
        assert (function["name"], json.loads(function["arguments"])) == ("weather", {"place": "Paris"})
        assert choice["finish_reason"] == reason


async def test_failures_are_switched_on_and_off(session: aiohttp.ClientSession, tgi: FakeEngineProcess) -> None:
    tgi.control(refuse=503)
    assert (await ask(session, tgi, chat(1)))[0] == 503
    tgi.control(refuse=None, drop=True)
    with pytest.raises(aiohttp.ClientError):
        await ask(session, tgi, chat(1))
    tgi.control(drop=False, cut_after=2)
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(session, tgi, chat(10, stream=True))
    tgi.control(cut_after=None, hang=True)
    hung = asyncio.create_task(ask(session, tgi, chat(1)))
    await until(lambda: len(tgi.control()["requests"]), 4)
    hung.cancel()
    await until(lambda: tgi.control()["aborted"], 1)
    tgi.control(hang=False, metrics="renamed")
    assert (await ask(session, tgi, chat(1)))[0] == 200
    assert "tgi_new_queue_size 0" in tgi.metrics()


async def test_it_is_killed_frozen_and_started_again_on_its_port(
    session: aiohttp.ClientSession, tgi: FakeEngineProcess
) -> None:
    assert (await ask(session, tgi, chat(1)))[0] == 200
    tgi.freeze()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(session, tgi, chat(1)), 0.2)
    tgi.thaw()
    assert (await ask(session, tgi, chat(1)))[0] == 200
    tgi.restart()
    assert tgi.control()["served"] == 0


@pytest.fixture(scope="module")
def captured_like() -> Iterator[FakeEngineProcess]:
    with FakeEngineProcess(token_ms=0) as engine:
        yield engine


@pytest.mark.skipif(SHARED is None, reason="RECSYS_SHARED does not name the folder of the captured exchanges")
@pytest.mark.parametrize("capture", [path for path in CAPTURES if HELD.match(path.name)], ids=lambda path: path.stem)
async def test_it_answers_as_the_captured_server(
    session: aiohttp.ClientSession, captured_like: FakeEngineProcess, capture: Path
) -> None:
    (method, path, body), (status, kind, expected) = read_exchange(capture)
    headers = {"content-type": "application/json"}
    async with session.request(method, captured_like.url + path, data=body, headers=headers) as response:
        text = await response.text()
        assert response.status == status
        assert response.headers.get("content-type", "").partition(";")[0] == kind
    assert shape(text, kind) == shape(expected, kind)


def read_exchange(capture: Path) -> tuple[tuple[str, str, bytes], tuple[int, str, str]]:
    sent, _, got = capture.read_text("utf-8").partition("\n<<< response\n")
    return read_request(sent.partition(">>> request\n")[2]), read_response(got)


def read_request(text: str) -> tuple[str, str, bytes]:
    head, _, body = text.partition("\n\n")
    method, path, _ = head.split("\n")[0].split(" ")
    return method, path, body.removesuffix("\n").encode()


def read_response(text: str) -> tuple[int, str, str]:
    head, _, body = text.partition("\n\n")
    kind = re.search(r"^content-type: ([^;\n]+)", head, re.MULTILINE)
    return int(head.split(" ")[1]), kind[1] if kind else "", body.rstrip("\n")


def shape(text: str, kind: str) -> object:
    """What must be the same: errors to the letter, of answers the fields with the types of their values.

    Of events alike in a row one stands for all: how many tokens a text has is the model's affair.
    """
    if kind == "text/event-stream":
        events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        shapes = [event if event == "[DONE]" or "error" in event else fields(json.loads(event)) for event in events]
        return [part for part, _ in groupby(shapes)]
    if kind != "application/json" or '"error"' in text:
        return text.rstrip("\n")
    return fields(json.loads(text))


def fields(value: object) -> object:
    if isinstance(value, dict):
        return {name: fields(part) for name, part in value.items()}
    if isinstance(value, list):
        return [fields(value[0])] if value else []
    return type(value).__name__
