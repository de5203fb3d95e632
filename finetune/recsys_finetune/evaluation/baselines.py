"""Rankers that need no model: popularity, and a count-based Markov chain. Pure; both learn from histories alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_finetune.evaluation.metrics import ndcg_at, rank_of
from recsys_finetune.evaluation.protocol import Split, leave_one_out, training_histories

CUT = 10
Histories = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class MarkovSettings:
    """``reach``: how far apart two purchases may be and still count, and how many of the latest items speak.

    ``decay`` weights both by distance, as decay^(distance - 1). ``damping`` is the power of the target's popularity
    that its counts are divided by (0: not at all). Reach 1 is the plain chain of first order.
    """

    reach: int
    decay: float
    damping: float


GRID = tuple(
    MarkovSettings(reach, decay, damping)
    for reach in (1, 2, 3, 5, 10)
    for decay in (0.3, 0.5, 0.7, 0.85)
    for damping in (0.0, 0.3)
    if reach > 1 or decay == 0.5
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
    """What was bought after what. ``transitions[a, b]``: decayed counts of b after a, as a share of a's purchases.

    Popularity breaks ties, and ranks what no transition leads to.
    """

    items: tuple[str, ...]
    index: Mapping[str, int]
    transitions: NDArray[np.float64]
    popularity: NDArray[np.float64]
    settings: MarkovSettings

    @classmethod
    def fit(cls, histories: Histories, catalogue: Sequence[str], settings: MarkovSettings) -> MarkovChain:
        index = {item: number for number, item in enumerate(catalogue)}
        transitions = np.zeros((len(catalogue), len(catalogue)))
        for history in histories.values():
            rows = np.array([index[item] for item in history], dtype=np.int64)
            for distance in range(1, settings.reach + 1):
                np.add.at(transitions, (rows[:-distance], rows[distance:]), settings.decay ** (distance - 1))
        counts = Popularity.fit(histories, catalogue).counts
        bought = np.maximum(counts, 1.0)
        transitions /= bought[:, None] * bought[None, :] ** settings.damping
        return cls(tuple(catalogue), index, transitions, counts / bought.sum(), settings)

    @classmethod
    def choose(cls, histories: Mapping[str, Sequence[str]], catalogue: Sequence[str]) -> MarkovChain:
        """The chain whose settings of ``GRID`` have the highest NDCG@10 on the validation items of ``histories``."""
        known, cases = training_histories(histories), leave_one_out(histories, Split.VALIDATION)

        def quality(chain: MarkovChain) -> float:
            return sum(ndcg_at(rank_of(case.target, chain.rank(case.history, CUT)), CUT) for case in cases)

        return max((cls.fit(known, catalogue, settings) for settings in GRID), key=quality)

    def rank(self, history: Sequence[str], limit: int) -> list[str]:
        """At most ``limit`` items that are not in ``history``."""
        scores = 1e-9 * self.popularity
        for distance, item in enumerate(reversed(history[-self.settings.reach :])):
            if item in self.index:
                scores = scores + self.settings.decay**distance * self.transitions[self.index[item]]
        return best(scores, self.items, history, limit)


def best(scores: NDArray[np.float64], items: Sequence[str], exclude: Sequence[str], limit: int) -> list[str]:
    """The ``limit`` items with the highest scores but those of ``exclude``; ties in the order of ``items``."""
    seen = set(exclude)
    order = np.argsort(-scores, kind="stable")[: limit + len(seen)]
    return [items[number] for number in order if items[number] not in seen][:limit]
