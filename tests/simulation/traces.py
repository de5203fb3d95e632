"""Arrivals and lengths from a seed: the same numbers for every policy that is compared."""

from __future__ import annotations

import math
from random import Random

from simulation.world import SLOTS, TOKEN_SECONDS, Arrival

MEAN_TOKENS, SIGMA, CAP = 100.0, 0.8, 800


def capacity(speeds: tuple[float, ...]) -> float:
    """Tokens a second that the pods make when all their slots are busy."""
    return sum(speeds) * SLOTS / TOKEN_SECONDS


def tokens(random: Random) -> int:
    drawn = random.lognormvariate(math.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA)
    return max(1, min(CAP, round(drawn)))


def poisson(
    seed: int, speeds: tuple[float, ...], load: float, seconds: float, patience: float = math.inf
) -> tuple[Arrival, ...]:
    """Poisson arrivals that ask for ``load`` times what the pods can do."""
    random, when, arrivals = Random(seed), 0.0, list[Arrival]()
    rate = load * capacity(speeds) / MEAN_TOKENS
    while (when := when + random.expovariate(rate)) < seconds:
        arrivals.append(Arrival(when, tokens(random), patience))
    return tuple(arrivals)


def bursts(seed: int, speeds: tuple[float, ...], load: float, seconds: float) -> tuple[Arrival, ...]:
    """The same load in turns of a second at twice the rate and a second at a fifth of it, roughly."""
    random, when, arrivals = Random(seed), 0.0, list[Arrival]()
    rate = load * capacity(speeds) / MEAN_TOKENS
    while True:
        now_rate = rate * (1.8 if int(when) % 2 == 0 else 0.2)
        when += random.expovariate(now_rate)
        if when >= seconds:
            return tuple(arrivals)
        arrivals.append(Arrival(when, tokens(random)))
