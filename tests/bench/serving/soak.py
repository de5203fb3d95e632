"""``python -m bench.serving.soak --minutes 60``: the gateway before four uneven pods, with trouble all the time.

Calls whole and streamed, clients that leave, an engine that dies, freezes, slows down, overloads, breaks streams off
or renames its metrics; the load swings between a third and more than there is. Every minute a line: calls by their
ends, resident memory, open files. Exits 1 where a healthy minute had a failed answer, a counter is off zero once all is
at rest, or memory grew by more than a tenth over the second half.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import uvloop
from fake_engine.process import FakeEngineProcess

from bench.serving.routers import router
from bench.serving.rows import UNEVEN, running_pods

GROWTH = 1.10
PERIOD_SECONDS = 60.0
QUIET_SECONDS = 20.0
"""The end of each minute: all pods are well and the load is low, so that what fails is the gateway's."""
MEAN_TOKENS = 60
TOKEN_SECONDS = 0.01
GOOD = frozenset({"ok", "left"})
REST = ("pod_inflight", "queue_depth")


@dataclass(slots=True)
class Minute:
    """What one minute of trouble and quiet has shown."""

    ends: Counter[str] = field(default_factory=Counter)
    quiet: Counter[str] = field(default_factory=Counter)
    megabytes: float = 0.0
    files: int = 0


async def call(session: aiohttp.ClientSession, url: str, random: Random) -> str:
    """One call, of the kinds that clients make: how it ended."""
    stream, leaves = random.random() < 0.5, random.random() < 0.1
    tokens = max(1, min(400, int(random.expovariate(1 / MEAN_TOKENS))))
    body = {"model": "fake", "messages": [{"role": "user", "content": f"@@N:{tokens}@@"}], "stream": stream}
    headers = {"x-request-timeout": "10", "x-priority": random.choice(["high", "normal", "low"])}
    try:
        async with (
            asyncio.timeout(random.uniform(0.01, 0.3) if leaves else 30),
            session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response,
        ):
            text = await response.text()
    except TimeoutError:
        return "left" if leaves else "timeout"
    except aiohttp.ClientError as error:
        return type(error).__name__
    if response.status != 200:
        return str(response.status)
    return "ok" if not stream or (text.rstrip().endswith("[DONE]") and '"error"' not in text) else "broken stream"


async def load(
    url: str, pods: Sequence[FakeEngineProcess], random: Random, seconds: float, share: float, ends: Counter[str]
) -> None:
    """Poisson arrivals at ``share`` of what the pods can do, until the last of them is answered."""
    rate = share * sum(pod.speed * pod.slots for pod in pods) / TOKEN_SECONDS / MEAN_TOKENS
    end = time.monotonic() + seconds
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3)) as session,
        asyncio.TaskGroup() as group,
    ):

        async def one() -> None:
            ends[await call(session, url, random)] += 1

        while time.monotonic() < end:
            group.create_task(one())
            await asyncio.sleep(random.expovariate(rate))


async def trouble(pods: Sequence[FakeEngineProcess], random: Random, seconds: float) -> None:
    """One pod misbehaves for most of the time, and is well again at its end."""
    pod, kind = random.choice(pods), random.choice(["die", "freeze", "slow", "overload", "cut", "refuse", "metrics"])
    switches: dict[str, dict[str, object]] = {
        "slow": {"speed": pod.speed / 4},
        "overload": {"overload": True},
        "cut": {"cut_after": 3},
        "refuse": {"refuse": 500},
        "metrics": {"metrics": random.choice(["hang", "500", "renamed"])},
    }
    healthy = {"speed": pod.speed, "overload": False, "cut_after": None, "refuse": None, "metrics": "ok"}
    match kind:
        case "die":
            await asyncio.to_thread(pod.kill)
            await asyncio.sleep(0.6 * seconds)
            await asyncio.to_thread(pod.start)
        case "freeze":
            pod.freeze()
            await asyncio.sleep(0.6 * seconds)
            pod.thaw()
        case _:
            await asyncio.to_thread(pod.control, **switches[kind])
            await asyncio.sleep(0.6 * seconds)
            await asyncio.to_thread(pod.control, **healthy)


async def minute(url: str, pods: Sequence[FakeEngineProcess], pid: int, random: Random) -> Minute:
    seen, busy = Minute(), PERIOD_SECONDS - QUIET_SECONDS
    await asyncio.gather(
        load(url, pods, random, busy, random.choice([0.3, 0.6, 0.9, 1.3]), seen.ends), trouble(pods, random, busy)
    )
    await asyncio.sleep(2)
    await load(url, pods, random, QUIET_SECONDS - 2, 0.3, seen.quiet)
    seen.megabytes, seen.files = held(pid)
    return seen


def held(pid: int) -> tuple[float, int]:
    """Resident memory in MB, and open files."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def at_rest(url: str, seconds: float = 30) -> dict[str, float]:
    """The counters that should be zero and are not, once there was time for it."""
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/metrics") as response:
                text = await response.text()
            rows = re.findall(rf"^(recsys_gateway_(?:{'|'.join(REST)})\{{.*\}}) (\S+)$", text, re.MULTILINE)
            off = {name: float(value) for name, value in rows if float(value)}
            if not off or time.monotonic() > deadline:
                return off
            await asyncio.sleep(0.2)


async def soak(url: str, pods: Sequence[FakeEngineProcess], pid: int, minutes: float, seed: int) -> int:
    random, memory, failed = Random(seed), list[float](), Counter[str]()
    total = Counter[str]()
    for number in range(1, max(1, round(minutes)) + 1):
        seen = await minute(url, pods, pid, random)
        memory.append(seen.megabytes)
        total += seen.ends + seen.quiet
        failed += Counter({end: count for end, count in seen.quiet.items() if end not in GOOD})
        shown = f"{dict(seen.ends)} quiet {dict(seen.quiet)}"
        print(f"minute {number}: {seen.megabytes:.0f} MB, {seen.files} files; {shown}", flush=True)
    off = await at_rest(url)
    grown = len(memory) > 4 and memory[-1] > GROWTH * memory[len(memory) // 2]
    print(f"{total.total()} calls: {dict(total)}; failed while all was well: {dict(failed) or 'none'}")
    print(f"memory {memory[0]:.0f} -> {memory[len(memory) // 2]:.0f} -> {memory[-1]:.0f} MB; off zero: {off or 'none'}")
    return int(bool(failed or off or grown))


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.serving.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    uvloop.install()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_pods(UNEVEN, token_ms=1000 * TOKEN_SECONDS) as pods,
        router("ours", pods, Path(folder)) as (url, pid),
    ):
        return asyncio.run(soak(url, pods, pid, given.minutes, given.seed))


if __name__ == "__main__":
    sys.exit(main())
