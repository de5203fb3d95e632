"""Whether a child process does its work yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp

from recsys_operator.local.plan import LOCALHOST, HttpHealth, TcpHealth

POLL_SECONDS = 0.05
REQUEST_SECONDS = 2.0


async def wait_until_healthy(health: HttpHealth | TcpHealth) -> None:
    """Return once ``health`` is met; the caller bounds the time."""
    match health:
        case TcpHealth(port):
            await _until(lambda: _listens(port))
        case HttpHealth(url):
            async with _session() as session:
                await _until(lambda: _answers(session, url))


async def is_healthy(health: HttpHealth | TcpHealth) -> bool:
    """Whether ``health`` is met now."""
    match health:
        case TcpHealth(port):
            return await _listens(port)
        case HttpHealth(url):
            async with _session() as session:
                return await _answers(session, url)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - another process sets no event here
        await asyncio.sleep(POLL_SECONDS)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOCALHOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def wait_for_parts(url: str, seconds: float) -> None:
    """Return once the gateway at ``url`` says that each of its parts is ready, or after ``seconds``.

    No error then: a gateway answers without some of its parts, and says in each answer what was missing.
    """

    async def all_ready() -> bool:
        return await _parts_ready(session, f"{url}/readyz")

    async with _session() as session:
        try:
            async with asyncio.timeout(seconds):
                await _until(all_ready)
        except TimeoutError:
            return


def _session() -> aiohttp.ClientSession:
    # No proxy of the environment: it knows nothing of 127.0.0.1.
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS), trust_env=False)


async def _parts_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            body = await response.json()
            return response.status == 200 and all(part["ready"] for part in body["parts"].values())
    except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError):
        return False
