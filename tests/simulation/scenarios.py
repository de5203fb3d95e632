"""The scenarios that are compared and drawn, each from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulation.traces import Arrival, bursts, leaving, poisson
from simulation.world import Event, Happening, Scenario

UNEVEN = (1.0, 1.0, 0.5, 0.25)
EVEN = (1.0, 1.0, 1.0, 1.0)
PATIENCE = 2.5

Made = Callable[[int], Scenario]


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    speeds: tuple[float, ...]
    of_seed: Made


def uneven(seed: int, **more: object) -> Scenario:
    return Scenario(UNEVEN, poisson(seed, UNEVEN, 0.85, 60), **more)  # type: ignore[arg-type]  as Scenario has it


def uneven_bursts(seed: int) -> Scenario:
    return Scenario(UNEVEN, bursts(seed, UNEVEN, 0.85, 60))


def even(seed: int) -> Scenario:
    return Scenario(EVEN, poisson(seed, EVEN, 0.85, 60))


def even_overload(seed: int) -> Scenario:
    return Scenario(EVEN, poisson(seed, EVEN, 1.3, 60, PATIENCE))


def uneven_overload(seed: int) -> Scenario:
    return Scenario(UNEVEN, poisson(seed, UNEVEN, 1.3, 60, PATIENCE))


def slowdown(seed: int) -> Scenario:
    return Scenario(EVEN, _light(seed), events=(Event(10, Happening.SPEED, 1, 0.25),))


def death(seed: int) -> Scenario:
    return Scenario(EVEN, _light(seed), events=(Event(10, Happening.DIE, 1), Event(20, Happening.REVIVE, 1)))


def freeze(seed: int) -> Scenario:
    """Clients hang up after 10 s."""
    events = Event(10, Happening.FREEZE, 1), Event(30, Happening.THAW, 1)
    return Scenario(EVEN, leaving_after(_light(seed), 10.0), events=events)


def no_scrapes(seed: int) -> Scenario:
    return uneven(seed, events=(Event(20, Happening.SCRAPES_FAIL), Event(40, Happening.SCRAPES_WORK)))


def aborts(seed: int) -> Scenario:
    return Scenario(UNEVEN, leaving(poisson(seed, UNEVEN, 0.85, 60), seed, share=0.3, mean_seconds=1.0))


def leaving_after(arrivals: tuple[Arrival, ...], seconds: float) -> tuple[Arrival, ...]:
    return tuple(Arrival(each.at, each.tokens, leaves=seconds) for each in arrivals)


def _light(seed: int) -> tuple[Arrival, ...]:
    return poisson(seed, EVEN, 0.6, 60)


WAITING = (
    Named("uneven, load .85", UNEVEN, uneven),
    Named("uneven, bursts", UNEVEN, uneven_bursts),
    Named("even, load .85", EVEN, even),
    Named("one 4x slower", EVEN, slowdown),
)
"""Rows that are judged by their latencies."""
OVERLOADED = (Named("even, load 1.3", EVEN, even_overload), Named("uneven, load 1.3", UNEVEN, uneven_overload))
"""Rows that are judged by their goodput."""
