"""Calls to an engine: each way of failing has its class, and the place at the endpoint is given back on every path."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import pytest
import pytest_asyncio
from recsys_gateway.config import ServedModel
from recsys_gateway.engines.dialect import ChatCall
from recsys_gateway.serving.engine_calls import CallObserver, Timeouts, new_session
from recsys_gateway.serving.failures import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream
from scripted_engine import ScriptedEngine

CALL = ChatCall([("user", "hello")], max_tokens=5)
QUICK = Timeouts(connect=1, first_byte=0.2, idle=0.2, tokenize=0.5, health=0.5)


def model(*urls: str) -> ServedModel:
    pool = {"name": "a", "endpoints": [{"url": url} for url in urls]}
    return ServedModel.model_validate({"name": "m", "role": "base", "engine": "LlamaCpp", "pools": [pool]})


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    engine = ScriptedEngine()
    await engine.start()
    yield engine
    await engine.stop()


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as session:
        yield session


async def read(upstream: Upstream) -> str:
    async with aclosing(upstream.stream(CALL)) as parts:
        return "".join([part.text async for part in parts])


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (500, UpstreamUnavailable),
        (502, UpstreamUnavailable),
        (503, UpstreamOverloaded),
        (429, UpstreamOverloaded),
        (400, UpstreamRefused),
    ],
)
async def test_a_status_means_a_failure(
    engine: ScriptedEngine, session: aiohttp.ClientSession, status: int, failure: type[UpstreamError]
) -> None:
    engine.status = status
    seen: list[str] = []
    upstream = Upstream.to(
        model(engine.url), session, QUICK, CallObserver(lambda _role, _pool, _track, outcome: seen.append(outcome))
    )
    with pytest.raises(failure):
        await upstream.chat(CALL)
    with pytest.raises(failure):
        await read(upstream)
    assert seen == [failure.__name__.removeprefix("Upstream").lower()] * 2
    assert [state.in_flight for state in upstream.calls.balancer.pods] == [0]


async def test_silence_is_a_timeout_and_aborts_the_engine(
    engine: ScriptedEngine, session: aiohttp.ClientSession
) -> None:
    engine.hangs = True
    upstream = Upstream.to(model(engine.url), session, QUICK)
    with pytest.raises(UpstreamTimeout):
        await upstream.chat(CALL)
    assert [state.in_flight for state in upstream.calls.balancer.pods] == [0]
    async with asyncio.timeout(5):
        while engine.aborted == 0:  # noqa: ASYNC110  the engine notices when its socket is read
            await asyncio.sleep(0.01)


async def test_a_stream_that_is_cut_is_unavailable_after_its_first_parts(
    engine: ScriptedEngine, session: aiohttp.ClientSession
) -> None:
    engine.cut_after = 2
    upstream, parts = Upstream.to(model(engine.url), session, QUICK), []

    async def collect() -> None:
        async for part in upstream.stream(CALL):
            parts.append(part.text)  # noqa: PERF401  what came before the failure must stay

    with pytest.raises(UpstreamUnavailable):
        await collect()
    assert "".join(parts) == engine.story[:8]
    assert [state.in_flight for state in upstream.calls.balancer.pods] == [0]


async def test_nobody_there_is_unavailable(session: aiohttp.ClientSession) -> None:
    upstream = Upstream.to(model("http://127.0.0.1:9"), session, QUICK)
    with pytest.raises(UpstreamUnavailable):
        await upstream.chat(CALL)
    with pytest.raises(UpstreamUnavailable, match="no_pods"):
        await Upstream.to(model(), session, QUICK).chat(CALL)
    assert not await upstream.healthy()


async def test_the_least_busy_pod_is_taken(engine: ScriptedEngine, session: aiohttp.ClientSession) -> None:
    other = ScriptedEngine()
    await other.start()
    engine.hangs = other.hangs = True
    upstream = Upstream.to(model(engine.url, other.url), session)
    waiting = [asyncio.create_task(upstream.chat(CALL)) for _ in range(6)]
    async with asyncio.timeout(5):
        while len(engine.bodies) + len(other.bodies) < 6:  # noqa: ASYNC110  told by the engines' lists of requests
            await asyncio.sleep(0.01)
    assert len(engine.bodies) == len(other.bodies) == 3
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [pod.in_flight for pod in upstream.calls.balancer.pods] == [0, 0]
    await other.stop()


async def test_what_fails_before_its_first_byte_is_sent_elsewhere(
    engine: ScriptedEngine, session: aiohttp.ClientSession
) -> None:
    seen: list[str] = []
    observer = CallObserver(lambda _role, _pool, _track, outcome: seen.append(outcome))
    upstream = Upstream.to(model("http://127.0.0.1:9", engine.url), session, QUICK, observer)
    for _ in range(8):
        assert await read(upstream) == engine.story
    assert seen.count("ok") == 8
    assert seen.count("unavailable") <= 2  # the pod that nobody can reach is left alone after the first failure


async def test_tokens_are_counted_once_and_remembered(engine: ScriptedEngine, session: aiohttp.ClientSession) -> None:
    seen: list[str] = []
    upstream = Upstream.to(
        model(engine.url), session, QUICK, CallObserver(lambda _role, _pool, _track, outcome: seen.append(outcome))
    )
    counts = TokenCounts(upstream)
    assert await counts.of(["one two", "<JKT-012> three", "one two"]) == {"one two": 2, "<JKT-012> three": 2}
    assert await counts.of(["one two", "four"]) == {"one two": 2, "four": 1}
    assert len(seen) == 2
    assert await counts.of_whole(["one two", "three"]) == 3
    await engine.stop()
    assert await counts.of_whole(["one"]) is None
    with pytest.raises(UpstreamUnavailable):
        await counts.of(["one two", "cold"])


async def test_a_kept_connection_that_the_engine_has_closed_is_made_anew(session: aiohttp.ClientSession) -> None:
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while connections[-1] == 0:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                connections[-1] += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n" + b'{"tokens":[]}')
            await reader.readuntil(b"\r\n\r\n")  # the second request on one connection is never answered
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        upstream = Upstream.to(model(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), session, QUICK)
        for _ in range(3):
            with pytest.raises(UpstreamInvalid):  # an answer, though no completion
                await upstream.chat(CALL)
    assert connections == [1, 1, 1]
