"""Lists drawn from a distribution over items: Gumbel-top-k, with temperature, top-k and top-p. Pure: the seed decides.

Adding Gumbel noise to log-probabilities and taking the highest is sampling without replacement (Kool, van Hoof,
Welling, 2019): the first item is drawn from the distribution, the next from what is left of it, and none comes twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.recommend.stages import Sampling, Scored

LEAST_TEMPERATURE = 1e-3
"""Below it the order is that of probability anyway, and quotients would overflow."""
DRAW = 0
"""Tells the random numbers of the sampling from others of the same seed."""


def log_normalised(log_weights: Mapping[str, float]) -> dict[str, float]:
    """The same, shifted so that the probabilities sum to one."""
    if not log_weights:
        return {}
    highest = max(log_weights.values())
    total = highest + math.log(math.fsum(math.exp(each - highest) for each in log_weights.values()))
    return {name: each - total for name, each in log_weights.items()}


def draw_list(log_probabilities: Mapping[str, float], size: int, sampling: Sampling) -> tuple[Scored, ...]:
    """Up to ``size`` different items, in the order drawn; each with its probability in the distribution.

    Temperature 0 (also where none is given) is the order of probability, ties by id. Else the probabilities to the
    power 1/temperature are drawn from. ``top_k`` keeps the most probable, ``top_p`` the fewest whose probabilities sum
    to it; what they leave may be shorter than ``size``.
    """
    ordered = sorted(log_probabilities.items(), key=lambda each: (-each[1], each[0]))
    if not ordered:
        return ()
    normalised = log_normalised(dict(ordered))
    temperature = sampling.temperature or 0.0
    if temperature < LEAST_TEMPERATURE:
        temperature = 0.0
    logs = np.array([each for _, each in ordered], dtype=np.float64)
    kept = _kept(logs, temperature, sampling.top_k, sampling.top_p)
    places = np.arange(kept)
    if temperature > 0:
        noise = np.random.default_rng([sampling.seed, DRAW]).gumbel(size=len(logs))[:kept]
        places = np.argsort(-(logs[:kept] / temperature + noise), kind="stable")
    return tuple(Scored(ordered[place][0], math.exp(normalised[ordered[place][0]])) for place in places[:size])


def _kept(logs: NDArray[np.float64], temperature: float, top_k: int | None, top_p: float | None) -> int:
    """How many of the most probable may be drawn; ``logs`` are sorted, highest first."""
    kept = len(logs) if top_k is None else min(top_k, len(logs))
    if top_p is None or top_p >= 1:
        return kept
    tempered = logs[:kept] / temperature if temperature > 0 else logs[:kept]
    weights = np.exp(tempered - tempered[0])
    before = np.cumsum(weights) - weights
    return max(1, int(np.count_nonzero(before < top_p * weights.sum())))
