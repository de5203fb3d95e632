"""What the chat pass-through costs, as a ratio to a bare relay in the same run: keys, admission and metrics are on."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from fake_engine.process import FakeEngineProcess

from bench.serving.processor_time import Work, gateway, microseconds, relay

ROUNDS = 5
BOUND = 1.5
CHUNKS = 200
WHOLE = Work(requests=3000, tokens=5, stream=False)
SHORT_STREAM, LONG_STREAM = Work(800, 1, stream=True), Work(64, CHUNKS, stream=True)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float, float]]:
    """Microseconds of ours and of the relay, a request and a chunk; medians of rounds that take turns."""
    folder = tmp_path_factory.mktemp("bench")
    uvloop.install()
    with FakeEngineProcess(slots=64, token_ms=0) as quick, both(quick, folder) as (ours, bare):
        requests = [(microseconds(*ours, WHOLE), microseconds(*bare, WHOLE)) for _ in range(ROUNDS)]
    with FakeEngineProcess(slots=64, token_ms=5) as steady, both(steady, folder) as (ours, bare):
        chunks = [(_of_a_chunk(*ours), _of_a_chunk(*bare)) for _ in range(ROUNDS)]
    found = {"request": _medians(requests), "chunk": _medians(chunks)}
    for name, (mine, theirs) in found.items():
        print(f"\na {name}: {mine:.0f} us, the relay {theirs:.0f} us, ratio {mine / theirs:.2f}")
    return found


@contextmanager
def both(engine: FakeEngineProcess, folder: Path) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Ours and the relay before one engine, warm: the process and the port of each."""
    with gateway(engine, folder) as ours, relay(engine, folder) as bare:
        for target in (ours, bare):
            microseconds(*target, Work(300, 1, stream=False))
        yield ours, bare


def _of_a_chunk(pid: int, port: int) -> float:
    """A long stream less a short one, over the chunks between them."""
    long, short = microseconds(pid, port, LONG_STREAM), microseconds(pid, port, SHORT_STREAM)
    return (long - short) / (CHUNKS - 1)


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


@pytest.mark.parametrize("part", ["request", "chunk"])
def test_the_pass_through_costs_little_more_than_a_bare_relay(
    figures: dict[str, tuple[float, float]], part: str
) -> None:
    ours, bare = figures[part]
    assert ours / bare <= BOUND
