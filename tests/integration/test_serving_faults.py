"""Pods that die, freeze, fail or fill up, and clients that leave: what the client sees, and counters back at zero."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from fake_engine.process import FakeEngineProcess
from serving_harness import Gateway, ask, chat, serving_config, serving_gateway, until


@pytest.fixture
def engines() -> Iterator[list[FakeEngineProcess]]:
    """Two pods of 8 slots, 5 ms a token."""
    with FakeEngineProcess() as one, FakeEngineProcess() as other:
        yield [one, other]


@pytest.fixture
def gateway(engines: list[FakeEngineProcess], tmp_path: Path) -> Iterator[Gateway]:
    with serving_gateway(tmp_path, serving_config(engines)) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        yield session


async def test_calls_of_a_pod_that_dies_are_answered_by_another(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    calls = [asyncio.create_task(ask(session, gateway, chat(200))) for _ in range(10)]
    await until(lambda: all(engine.control()["running"] for engine in engines), "both pods work")
    engines[0].kill()
    assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 10
    assert gateway.metric("retries_total") > 0
    assert gateway.metric("ejections_total") >= 1
    await until(gateway.at_rest, "counters at zero")


async def test_a_pod_that_comes_back_gets_calls_again(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    engines[0].kill()
    await until(lambda: gateway.metric("pod_ejected") == 1, "the pod is left alone")
    assert (await ask(session, gateway, chat(1)))[0] == 200
    engines[0].start()
    await until(lambda: gateway.metric("pod_ejected") == 0, "the pod is taken back")
    await asyncio.gather(*(ask(session, gateway, chat(50)) for _ in range(12)))
    assert engines[0].control()["served"] > 0


async def test_calls_of_a_pod_that_freezes_go_elsewhere(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    calls = [asyncio.create_task(ask(session, gateway, chat(100))) for _ in range(8)]
    await until(lambda: all(engine.control()["running"] for engine in engines), "both pods work")
    engines[0].freeze()
    try:
        assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 8
    finally:
        engines[0].thaw()
    await until(gateway.at_rest, "counters at zero")


async def test_no_pod_at_all_is_a_503_that_says_when_to_come_again(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    config = serving_config([], model={"timeouts": {"startUpSeconds": 42}})
    with serving_gateway(tmp_path, config) as gateway:
        body, headers = chat(1), {"x-request-timeout": "0.2"}
        async with session.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "42")
            assert (await response.json())["error"]["code"] == "no_pods"
        assert gateway.at_rest()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_work_within_a_tenth_of_a_second(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession, stream: bool
) -> None:
    calls = [asyncio.create_task(ask(session, gateway, chat(600, stream=stream))) for _ in range(6)]
    await until(lambda: sum(engine.control()["running"] for engine in engines) == 6, "all run")
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    seconds = await until(lambda: sum(engine.control()["aborted"] for engine in engines) == 6, "all are aborted")
    assert seconds < 0.1 + 0.05  # what asking the pods takes itself
    await until(gateway.at_rest, "counters at zero")
    assert gateway.metric("requests_total", outcome="client_gone") == 6


async def test_a_client_that_leaves_the_queue_is_forgotten(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    with FakeEngineProcess(slots=1, token_ms=20) as engine:
        pool = {"name": "a", "slots": 1, "endpoints": [{"url": engine.url}]}
        config = serving_config([], model={"pools": [pool]}, admission={"maxQueueDepth": 0})
        with serving_gateway(tmp_path, config) as gateway:
            calls = [asyncio.create_task(ask(session, gateway, chat(50))) for _ in range(3)]
            await until(lambda: gateway.metric("queue_depth") == 2, "two wait")
            calls[2].cancel()
            await until(lambda: gateway.metric("queue_depth") == 1, "one has left")
            assert [status for status, _ in await asyncio.gather(*calls[:2])] == [200, 200]
            assert engine.control()["requests_seen"] == 2
            await until(gateway.at_rest, "counters at zero")


async def test_a_full_queue_and_a_hopeless_wait_are_told_at_once(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with FakeEngineProcess(slots=1, token_ms=20) as engine:
        pool = {"name": "a", "slots": 1, "endpoints": [{"url": engine.url}]}
        admission = {"maxQueueDepth": 0, "maxWaiting": 3, "tenantShare": 1}
        config = serving_config([], model={"pools": [pool]}, admission=admission)
        with serving_gateway(tmp_path, config) as gateway:
            calls = [asyncio.create_task(ask(session, gateway, chat(50))) for _ in range(4)]
            await until(lambda: gateway.metric("queue_depth") == 3, "the queue is full")
            status, text = await ask(session, gateway, chat(50))
            assert (status, json.loads(text)["error"]["code"]) == (429, "queue_full")
            status, text = await ask(session, gateway, chat(50), x_request_timeout="0.5")
            assert (status, json.loads(text)["error"]["code"]) == (503, "expected_wait")
            for call in calls:
                call.cancel()
            await until(gateway.at_rest, "counters at zero")


@pytest.mark.parametrize("stream", [False, True])
async def test_an_overloaded_engine_is_left_for_another(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession, stream: bool
) -> None:
    engines[0].control(overload=True)
    answers = await asyncio.gather(*(ask(session, gateway, chat(20, stream=stream)) for _ in range(10)))
    assert {status for status, _ in answers} == {200}
    assert not any("overloaded" in text for _, text in answers)
    assert gateway.metric("upstream_requests_total", outcome="overloaded") > 0
    assert gateway.metric("pod_slots", pod=engines[0].url) < 8
    await until(gateway.at_rest, "counters at zero")


async def test_an_overload_everywhere_is_a_503(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    for engine in engines:
        engine.control(overload=True)
    for stream in (False, True):
        status, text = await ask(session, gateway, chat(1, stream=stream))
        assert (status, json.loads(text)["error"]["code"]) == (503, "engine_overloaded")
    await until(gateway.at_rest, "counters at zero")


async def test_a_stream_that_breaks_off_ends_in_an_error_event(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    for engine in engines:
        engine.control(cut_after=3)
    status, text = await ask(session, gateway, chat(10, stream=True))
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert status == 200
    assert len(events) == 4
    assert json.loads(events[-1])["error"]["code"] == "engine_unavailable"
    await until(gateway.at_rest, "counters at zero")


async def test_an_engine_that_never_answers_is_a_timeout_and_counts_nothing(
    tmp_path: Path, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    for engine in engines:
        engine.control(hang=True)
    with serving_gateway(tmp_path, serving_config(engines, model={"timeouts": {"firstByteSeconds": 0.3}})) as gateway:
        status, text = await ask(session, gateway, chat(1, stream=True))
        assert (status, json.loads(text)["error"]["code"]) == (504, "engine_timeout")
        status, text = await ask(session, gateway, chat(1), x_request_timeout="0.3")
        assert (status, json.loads(text)["error"]["code"]) == (504, "engine_timeout")
        await until(gateway.at_rest, "counters at zero")


async def test_an_error_of_the_engines_own_ejects_nobody(
    gateway: Gateway, engines: list[FakeEngineProcess], session: aiohttp.ClientSession
) -> None:
    for engine in engines:
        engine.control(refuse=500)
    for _ in range(6):
        assert (await ask(session, gateway, chat(1)))[0] == 503
    assert gateway.metric("ejections_total") == 0
    for engine in engines:
        engine.control(refuse=None)
    assert (await ask(session, gateway, chat(1)))[0] == 200
