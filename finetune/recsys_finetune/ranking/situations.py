"""Training situations: a customer, a history, a request, candidates, and how likely each candidate is next. Pure.

The likelihoods are the teacher's, with what the customer really took next lifted, and with a request what meets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_finetune.evaluation.candidates import CollaborativeCandidates
from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.requests import RequestWriter
from recsys_finetune.ranking.teacher import Teacher

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mix:
    """How often a situation is what. Shares of situations, but for these.

    ``fact``: weight of what was really taken; ``trust``: power of the place, as (1 + place) ** -trust, from 1;
    ``sharpness``: power of the chances at last: the order is what counts, and near chances teach it slowly;
    ``relevance_weight`` and ``taste_power``: with a request, chances ** taste_power * exp(weight * relevance).
    """

    requests: float = 0.5
    cold: float = 0.08
    nameless: float = 0.1
    gaps: float = 0.3
    fewer: float = 0.15
    retrieved: float = 0.75
    ordered: float = 0.85
    trust: float = 0.6
    fact: float = 0.1
    sharpness: float = 2.0
    candidates: int = 20
    fewest: int = 3
    relevance_weight: float = 7.0
    taste_power: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """``candidates`` are rows of items in the order shown, ``likelihood`` their chances (same order, sum one).

    ``unplaced`` is the likelihood for whom the order tells nothing; ``of_all`` the chances of every item of the
    catalogue, by row, where the order tells something of those that are shown. Both sum to one.
    """

    user: str | None
    history: Rows
    request: str
    candidates: Rows
    likelihood: NDArray[np.float64]
    unplaced: NDArray[np.float64]
    of_all: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SituationSampler:
    """Draws situations without end. What is held out of the catalogue's histories is never seen."""

    teacher: Teacher
    histories: tuple[tuple[str, Rows], ...]
    retrieval: CollaborativeCandidates
    in_stock: NDArray[np.bool_]
    write_request: RequestWriter
    mix: Mix

    @classmethod
    def of(cls, catalogue: TrainingCatalogue, teacher: Teacher, writer: RequestWriter, mix: Mix) -> SituationSampler:
        rows = catalogue.rows
        histories = tuple(
            (user, np.array([rows[item] for item in history], dtype=np.int64))
            for user, history in catalogue.histories.items()
            if len(history) > 1
        )
        ids = [item.id for item in catalogue.items]
        sold_out = [item.id for item in catalogue.items if not item.in_stock]
        retrieval = CollaborativeCandidates.fit(catalogue.histories, ids, sold_out)
        return cls(teacher, histories, retrieval, np.array([item.in_stock for item in catalogue.items]), writer, mix)

    def draw(self, rng: np.random.Generator, *, request: bool = True) -> Situation:
        """One situation; without ``request`` none is made.

        Mostly the candidates stand in the order of retrieval, as the gateway shows them, and that order counts: it
        foretells as well as the teacher does, and both together better. Shuffled ones keep it from being all.
        """
        mix = self.mix
        name, sequence = self.histories[int(rng.integers(len(self.histories)))]
        cut = int(rng.integers(1, len(sequence)))
        user = None if rng.random() < mix.nameless else name
        history = self._history(sequence[:cut], rng)
        taken = int(sequence[cut])
        chances = self.teacher.probabilities(history, user).astype(np.float64)
        ordered = rng.random() < mix.ordered
        if request and rng.random() < mix.requests:
            wish = self.write_request(taken, rng)
            chances = chances**mix.taste_power * np.exp(mix.relevance_weight * wish.relevance)
            text, shown = wish.text, self._drawn(chances**0.35, history, self._count(rng), rng)
        elif rng.random() < mix.retrieved:
            text, shown = "", self._retrieved(history, self._count(rng))
        else:
            text, shown = "", self._drawn(chances, history, self._count(rng), rng)
        trust = np.ones(len(chances))
        if ordered:
            trust[:] = (2.0 + len(shown)) ** -mix.trust
            trust[shown] = (2.0 + np.arange(len(shown))) ** -mix.trust
        else:
            shown = rng.permutation(shown)
        return Situation(
            user,
            history,
            text,
            shown,
            likelihood=self._target((chances * trust)[shown], shown == taken),
            unplaced=self._target(chances[shown], shown == taken),
            of_all=self._target(chances * trust, np.arange(len(chances)) == taken),
        )

    def _target(self, chances: NDArray[np.float64], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What is to be learnt: the chances, with what was really taken lifted, and sharpened; they sum to one."""
        likelihood = chances / chances.sum()
        if taken.any():
            likelihood = (1 - self.mix.fact) * likelihood + self.mix.fact * taken
        sharpened = likelihood**self.mix.sharpness
        return np.asarray(sharpened / sharpened.sum())

    def _count(self, rng: np.random.Generator) -> int:
        mix = self.mix
        return int(rng.integers(mix.fewest, mix.candidates + 1)) if rng.random() < mix.fewer else mix.candidates

    def _history(self, sequence: Rows, rng: np.random.Generator) -> Rows:
        """The history as it was, now and then with gaps, shortened, or empty: the teacher knows the answer to each."""
        if rng.random() < self.mix.cold:
            return sequence[:0]
        if rng.random() < self.mix.gaps:
            sequence = sequence[rng.random(len(sequence)) < 0.8]
        return sequence[-self.teacher.history_length :]

    def _retrieved(self, history: Rows, count: int) -> Rows:
        ids, rows = self.retrieval.items, self.retrieval.index
        found = self.retrieval.retrieve([ids[row] for row in history], count)
        return np.array([rows[item] for item in found], dtype=np.int64)

    def _drawn(self, chances: NDArray[np.float64], history: Rows, count: int, rng: np.random.Generator) -> Rows:
        """Without replacement, by Gumbel-top-k, best first; the last fifth regardless of their chances."""
        allowed = self.in_stock.copy()
        allowed[history] = False
        pool = np.flatnonzero(allowed)
        likely = pool[np.argsort(-(np.log(chances[pool] + 1e-12) + rng.gumbel(size=len(pool))))]
        hard, rest = likely[: count - count // 5], likely[count - count // 5 :]
        return np.concatenate([hard, rng.choice(rest, size=min(len(rest), count - len(hard)), replace=False)])


def preferred_order(likelihood: NDArray[np.float64], rng: np.random.Generator, noise: float) -> Sequence[int]:
    """Places of the candidates, best first; ``noise`` scales Gumbel noise on the logarithms (0: none).

    Lists that are a little off the best order teach the model to go on from its own mistakes.
    """
    keys = np.log(likelihood + 1e-12) + noise * rng.gumbel(size=len(likelihood))
    return [int(place) for place in np.argsort(-keys, kind="stable")]
