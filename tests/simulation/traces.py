"""Arrivals and lengths from a seed: the same numbers for every policy that is compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from recsys_gateway.serving.admission.waiting_queue import Priority

from simulation.pods import SLOTS, TOKEN_SECONDS

MEAN_TOKENS, SIGMA, CAP = 100.0, 0.8, 800
BURST_SECONDS, BURST_RATES = 1.0, (1.8, 0.2)
"""Turns of this length at these shares of the mean rate."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client's call. ``patience``: seconds of which the gateway knows; ``leaves``: seconds after which the client
    hangs up without a word."""

    at: float
    tokens: int
    patience: float = math.inf
    leaves: float = math.inf
    tenant: str = ""
    priority: Priority = Priority.NORMAL


def capacity(speeds: tuple[float, ...]) -> float:
    """Tokens a second that the pods make when all their slots are busy."""
    return sum(speeds) * SLOTS / TOKEN_SECONDS


def poisson(
    seed: int, speeds: tuple[float, ...], load: float, seconds: float, patience: float = math.inf
) -> tuple[Arrival, ...]:
    """Poisson arrivals that ask for ``load`` times what the pods can do."""
    return _arrivals(seed, load * capacity(speeds), seconds, patience, lambda _: 1.0)


def bursts(
    seed: int, speeds: tuple[float, ...], load: float, seconds: float, patience: float = math.inf
) -> tuple[Arrival, ...]:
    """The same load by turns at nearly twice the rate and at a fifth of it."""
    turn = len(BURST_RATES)
    return _arrivals(
        seed, load * capacity(speeds), seconds, patience, lambda when: BURST_RATES[int(when / BURST_SECONDS) % turn]
    )


def leaving(arrivals: tuple[Arrival, ...], seed: int, share: float, mean_seconds: float) -> tuple[Arrival, ...]:
    """The same calls, of which ``share`` are hung up after an exponential time."""
    random = Random(f"leaving {seed}")
    return tuple(
        replace(each, leaves=random.expovariate(1 / mean_seconds)) if random.random() < share else each
        for each in arrivals
    )


def draw_tokens(random: Random) -> int:
    """The length of an answer: lognormal with a mean of 100, capped."""
    drawn = random.lognormvariate(math.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA)
    return max(1, min(CAP, round(drawn)))


def _arrivals(
    seed: int, tokens_per_second: float, seconds: float, patience: float, pace: Callable[[float], float]
) -> tuple[Arrival, ...]:
    """By thinning: candidates at the highest pace, each kept with its moment's share of that."""
    random, when, arrivals = Random(seed), 0.0, list[Arrival]()
    rate = tokens_per_second / MEAN_TOKENS
    highest = max(BURST_RATES)
    while (when := when + random.expovariate(rate * highest)) < seconds:
        if random.random() * highest < pace(when):
            arrivals.append(Arrival(when, draw_tokens(random), patience))
    return tuple(arrivals)
