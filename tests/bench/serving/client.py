"""An open loop of clients: each call goes out when the trace says, whatever became of those before it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

import aiohttp
from simulation.world import Arrival

OK = 200


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one call. ``seconds`` from the planned moment; ``status`` 0: no answer (or the client gave up)."""

    tokens: int
    seconds: float
    status: int
    code: str = ""


async def replay(url: str, arrivals: tuple[Arrival, ...], *, give_up: float, headers: dict[str, str]) -> list[Result]:
    """The result of each arrival. ``give_up``: seconds after which a client leaves."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
    async with aiohttp.ClientSession(connector=connector) as session:
        begin = time.perf_counter() + 0.2
        tasks = []
        for arrival in arrivals:
            await asyncio.sleep(max(0.0, begin + arrival.at - time.perf_counter()))
            tasks.append(asyncio.create_task(_call(session, url, arrival, begin + arrival.at, give_up, headers)))
        return await asyncio.gather(*tasks)


async def _call(
    session: aiohttp.ClientSession,
    url: str,
    arrival: Arrival,
    planned: float,
    give_up: float,
    headers: dict[str, str],
) -> Result:
    body = {"model": "fake", "messages": [{"role": "user", "content": f"@@N:{arrival.tokens}@@"}]}
    status, code = 0, ""
    try:
        async with (
            asyncio.timeout(max(0.001, planned + give_up - time.perf_counter())),
            session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            text = await response.text()
            status = response.status
            if status != OK and text.startswith("{"):
                code = str(json.loads(text).get("error", {}).get("code"))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, AttributeError) as error:
        code = type(error).__name__
    return Result(arrival.tokens, time.perf_counter() - planned, status, code)


async def vanish(url: str, clients: int, tokens: int, after: float) -> None:
    """``clients`` calls, every other one streamed, that are left ``after`` seconds."""
    body = {"model": "fake", "messages": [{"role": "user", "content": f"@@N:{tokens}@@"}]}

    async def one(session: aiohttp.ClientSession, *, stream: bool) -> None:
        async with session.post(f"{url}/v1/chat/completions", json={**body, "stream": stream}) as response:
            await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        calls = [asyncio.create_task(one(session, stream=bool(n % 2))) for n in range(clients)]
        await asyncio.sleep(after)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
