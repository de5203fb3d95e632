"""The scenarios, each a row of docs/design/measurements.md."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fake_engine.process import FakeEngineProcess
from simulation.traces import capacity, poisson

from bench.serving.client import OK, Result, replay, vanish
from bench.serving.routers import router

UNEVEN = (1.0, 1.0, 0.5, 0.25)
EVEN = (1.0, 1.0, 1.0, 1.0)
PATIENCE = 2.5
AT_ENQUEUE = frozenset({"expected_wait", "queue_full", "tenant_queue_full"})

Event = tuple[float, Callable[[Sequence[FakeEngineProcess]], None]]


@dataclass(frozen=True, slots=True)
class Row:
    """``events`` happen to the pods while the trace runs; ``give_up``: when clients leave, in seconds."""

    name: str
    speeds: tuple[float, ...]
    load: float
    give_up: float = 60.0
    says_timeout: bool = False
    events: tuple[Event, ...] = ()


ROWS = (
    Row("uneven", UNEVEN, 0.85),
    Row("even-overload", EVEN, 1.3, PATIENCE, says_timeout=True),
    Row("uneven-overload", UNEVEN, 1.3, PATIENCE, says_timeout=True),
    Row("death", EVEN, 0.6, events=((10, lambda pods: pods[1].kill()), (20, lambda pods: pods[1].launch()))),
    Row("freeze", EVEN, 0.6, 10.0, events=((10, lambda pods: pods[1].freeze()), (30, lambda pods: pods[1].thaw()))),
    Row("slowdown", EVEN, 0.6, events=((10, lambda pods: pods[1].control(speed=0.25) and None),)),
)


@contextmanager
def running_pods(speeds: Sequence[float], token_ms: float = 5) -> Iterator[list[FakeEngineProcess]]:
    with ExitStack() as stack:
        pods = [FakeEngineProcess(speed=speed, token_ms=token_ms) for speed in speeds]
        for pod in pods:
            stack.callback(pod.kill)
            pod.launch()
        for pod in pods:
            pod.wait()
        yield pods


def run(row: Row, name: str, seed: int, seconds: float, folder: Path) -> dict[str, float]:
    """The figures of one router on one trace."""
    arrivals = poisson(seed, row.speeds, row.load, seconds)
    headers = {"x-request-timeout": f"{row.give_up:g}"} if row.says_timeout else {}
    with running_pods(row.speeds) as pods, router(name, pods, folder) as (url, _):

        async def play() -> list[Result]:
            await replay(url, poisson(99, row.speeds, 0.2, 2), give_up=10, headers={})
            events = asyncio.create_task(_happen(row.events, pods))
            results = await replay(url, arrivals, give_up=row.give_up, headers=headers)
            events.cancel()
            return results

        return figures(asyncio.run(play()), row, seconds)


async def _happen(events: Sequence[Event], pods: Sequence[FakeEngineProcess]) -> None:
    began = time.perf_counter()
    for when, what in events:
        await asyncio.sleep(max(0.0, began + when - time.perf_counter()))
        await asyncio.to_thread(what, pods)


def figures(results: Sequence[Result], row: Row, seconds: float) -> dict[str, float]:
    """Seconds, counts, and goodput as a share of what the pods can make in the time of the trace."""
    done = [result for result in results if result.status == OK and result.seconds <= row.give_up]
    shed = [result.seconds for result in results if result.code in AT_ENQUEUE]
    return {
        "calls": len(results),
        "failed": len(results) - len(done),
        "p50": percentile([result.seconds for result in done], 0.5),
        "p99": percentile([result.seconds for result in done], 0.99),
        "mean": statistics.fmean(result.seconds for result in done) if done else float("nan"),
        "goodput": sum(result.tokens for result in done) / seconds / capacity(row.speeds),
        "shed": len(shed),
        "shed_p99": percentile(shed, 0.99),
    }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def aborts(name: str, folder: Path, clients: int = 24) -> dict[str, float]:
    """Clients leave .5 s into answers of 3 s: how many of those the pods have seen end a second later."""
    with running_pods(EVEN) as pods, router(name, pods, folder) as (url, _):
        asyncio.run(vanish(url, clients, tokens=600, after=0.5))
        deadline, seen = time.monotonic() + 1.0, 0
        while time.monotonic() < deadline and seen < clients:
            seen = sum(pod.control()["aborted"] for pod in pods)
        return {"clients": clients, "aborted": seen}
