"""Rankers that need no model: popularity, and a count-based Markov chain. Pure; both learn from histories alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Histories = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class MarkovSettings:
    """``window``: how far apart two purchases may be and still count as a transition; ``context``: how many of the
    latest items speak; ``decay`` weights both by distance, as decay^(distance - 1); ``damping`` is the power of the
    target's popularity that its counts are divided by (0: plain counts)."""

    window: int = 1
    context: int = 1
    decay: float = 0.5
    damping: float = 0.0


GRID = tuple(
    MarkovSettings(window, context, decay, damping)
    for window, context in ((1, 1), (2, 3), (5, 5), (10, 10))
    for decay in (0.5, 0.7, 0.85)
    for damping in (0.0, 0.3, 0.5)
    if context > 1 or decay == 0.5
)


@dataclass(frozen=True, slots=True)
class Popularity:
    """Most purchased first. ``counts`` in the order of ``items``; ties keep that order."""

    items: tuple[str, ...]
    counts: NDArray[np.float64]

    @classmethod
    def fit(cls, histories: Histories, catalogue: Sequence[str]) -> Popularity:
        index = {item: number for number, item in enumerate(catalogue)}
        counts = np.zeros(len(catalogue))
        for history in histories.values():
            for item in history:
                counts[index[item]] += 1
        return cls(tuple(catalogue), counts)

    def rank(self, history: Sequence[str], limit: int) -> list[str]:
        """At most ``limit`` items that are not in ``history``."""
        return best(self.counts, self.items, history, limit)


@dataclass(frozen=True, slots=True)
class MarkovChain:
    """What was bought after what. ``transitions[a, b]``: decayed counts of b after a; popularity breaks ties."""

    items: tuple[str, ...]
    index: Mapping[str, int]
    transitions: NDArray[np.float32]
    popularity: NDArray[np.float64]
    settings: MarkovSettings

    @classmethod
    def fit(cls, histories: Histories, catalogue: Sequence[str], settings: MarkovSettings) -> MarkovChain:
        index = {item: number for number, item in enumerate(catalogue)}
        transitions = np.zeros((len(catalogue), len(catalogue)), dtype=np.float32)
        for history in histories.values():
            rows = np.array([index[item] for item in history], dtype=np.int64)
            for distance in range(1, settings.window + 1):
                np.add.at(transitions, (rows[:-distance], rows[distance:]), settings.decay ** (distance - 1))
        popularity = Popularity.fit(histories, catalogue).counts
        if settings.damping:
            transitions /= np.maximum(popularity, 1.0).astype(np.float32) ** settings.damping
        return cls(tuple(catalogue), index, transitions, popularity / max(popularity.sum(), 1.0), settings)

    def rank(self, history: Sequence[str], limit: int) -> list[str]:
        """At most ``limit`` items that are not in ``history``."""
        scores = 1e-6 * self.popularity
        for distance, item in enumerate(reversed(history[-self.settings.context :])):
            if item in self.index:
                scores = scores + self.settings.decay**distance * self.transitions[self.index[item]]
        return best(scores, self.items, history, limit)


def best(scores: NDArray[np.float64], items: Sequence[str], exclude: Sequence[str], limit: int) -> list[str]:
    """The ``limit`` items with the highest scores but those of ``exclude``; ties in the order of ``items``."""
    seen = set(exclude)
    order = np.argsort(-scores, kind="stable")[: limit + len(seen)]
    return [items[number] for number in order if items[number] not in seen][:limit]
