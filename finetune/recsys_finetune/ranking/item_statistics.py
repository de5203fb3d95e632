"""Counts of who took what after what, as conditional distributions over items. Pure numpy, dense in the items.

Each of ``COMPONENTS`` is one guess at the next item given a history:

- ``last``, ``before``: the smoothed Markov chain from the last item, and from the one before it;
- ``recent``: decayed counts within a window of ten, from the ten latest items;
- ``last_alike``, ``before_alike``: the chain after items of like content, to items of like content;
- ``taste``: EASE (Steck 2019), the closed-form item-item regression, on the history;
- ``recent_taste``: the same, the latest items weighing more;
- ``content``: popular items like those of the history;
- ``traits``: popularity among users with these traits.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Features = Sequence[frozenset[Hashable]]

COMPONENTS = (
    "last",
    "before",
    "recent",
    "last_alike",
    "before_alike",
    "taste",
    "recent_taste",
    "content",
    "traits",
)
WINDOW = 10
DECAY = 0.85
TASTE_DECAY = 0.9
CHAIN_PRIOR = 5.0
TRAIT_PRIOR = 100.0
RIDGE = 300.0
SHARPNESS = 4
SEEN_AGAIN = 0.02
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """Matrices (items, items) whose rows are distributions, but ``taste``: EASE's weights.

    ``taste`` and ``alike`` are zero on the diagonal: no item speaks for itself."""

    popularity: Matrix
    last: Matrix
    before: Matrix
    recent: Matrix
    last_alike: Matrix
    before_alike: Matrix
    taste: Matrix
    alike: Matrix
    by_trait: Mapping[Hashable, Matrix]

    @classmethod
    def count(cls, histories: Sequence[NDArray[np.int64]], traits: Features, likeness: Matrix) -> ItemStatistics:
        """From each user's history (rows of items, oldest first), traits (in the same order) and content likeness."""
        items = len(likeness)
        popularity = np.ones(items, dtype=np.float32) * 0.5
        steps = [np.zeros((items, items), dtype=np.float32) for _ in range(3)]
        for history in histories:
            np.add.at(popularity, history, 1.0)
            for distance in range(1, WINDOW + 1):
                pairs = (history[:-distance], history[distance:])
                np.add.at(steps[2], pairs, DECAY ** (distance - 1))
                if distance <= 2:
                    np.add.at(steps[distance - 1], pairs, 1.0)
        share = popularity / popularity.sum()
        last, before, recent = steps
        return cls(
            popularity=share,
            last=_smoothed(last, share),
            before=_smoothed(before, share),
            recent=_rows_to_one((recent + 0.2 * share) / popularity**0.3),
            last_alike=_rows_to_one(likeness @ last @ likeness.T + TINY),
            before_alike=_rows_to_one(likeness @ before @ likeness.T + TINY),
            taste=_ease(histories, items),
            alike=_rows_to_one(likeness * (1 - np.eye(items, dtype=np.float32))),
            by_trait=_by_trait(histories, traits, share),
        )

    def components(self, history: NDArray[np.int64], traits: frozenset[Hashable]) -> Matrix:
        """The guesses after ``history`` (it may be empty), one a row in the order of COMPONENTS; rows sum to one."""
        return np.asarray(self.along(history, traits)[-1])

    def along(self, history: NDArray[np.int64], traits: frozenset[Hashable]) -> Matrix:
        """``components`` after each beginning of ``history``, the empty one first: (len + 1, components, items).

        Everything but the first two is a sum over the items so far, weighted by how long ago they were.
        """
        length, of_traits = len(history), self._of_traits(traits)
        ages = np.arange(length)[:, None] - np.arange(length)[None, :]
        so_far = (ages >= 0).astype(np.float32)
        lately = so_far * (ages < WINDOW)
        ages = np.maximum(ages, 0)
        guesses = np.empty((length + 1, len(COMPONENTS), len(of_traits)), dtype=np.float32)
        guesses[0] = of_traits
        after = guesses[1:]
        after[:, 0] = self.last[history]
        after[:1, 1] = of_traits
        after[1:, 1] = self.before[history[:-1]]
        after[:, 2] = (lately * DECAY**ages).astype(np.float32) @ self.recent[history]
        after[:, 3] = self.last_alike[history]
        after[:1, 4] = of_traits
        after[1:, 4] = self.before_alike[history[:-1]]
        after[:, 5] = np.clip(so_far @ self.taste[history], 1e-6, None)
        after[:, 6] = np.clip((so_far * TASTE_DECAY**ages).astype(np.float32) @ self.taste[history], 1e-6, None)
        after[:, 7] = (so_far @ self.alike[history] + TINY) * self.popularity
        after[:, 8] = of_traits
        seen = np.ones((length, 1, len(of_traits)), dtype=np.float32)
        for place, item in enumerate(history):
            seen[place:, :, item] = SEEN_AGAIN
        after *= seen
        return _rows_to_one(guesses)

    def _of_traits(self, traits: frozenset[Hashable]) -> Matrix:
        """Naive Bayes: popularity times the ratio of each trait's popularity to it."""
        known = [self.by_trait[trait] for trait in traits if trait in self.by_trait]
        logs = sum((np.log(row / self.popularity) for row in known), np.log(self.popularity))
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum(), dtype=np.float32)


def likeness(features: Features) -> Matrix:
    """Rows of like items, summing to one: cosine of idf-weighted features, to the power SHARPNESS."""
    names = {name: column for column, name in enumerate(sorted({f for of_item in features for f in of_item}, key=str))}
    held = np.zeros((len(features), max(1, len(names))), dtype=np.float32)
    for row, of_item in enumerate(features):
        held[row, [names[name] for name in of_item]] = 1.0
    held *= np.log(len(features) / np.maximum(held.sum(axis=0), 1.0)).astype(np.float32)
    held /= np.maximum(np.linalg.norm(held, axis=1, keepdims=True), TINY)
    near = np.maximum(held @ held.T, 0.0) ** SHARPNESS
    np.fill_diagonal(near, np.maximum(np.diag(near), 1.0))
    return _rows_to_one(near)


def _smoothed(counts: Matrix, popularity: Matrix) -> Matrix:
    return np.asarray((counts + CHAIN_PRIOR * popularity) / (counts.sum(axis=1, keepdims=True) + CHAIN_PRIOR))


def _rows_to_one(matrix: NDArray[np.floating]) -> Matrix:
    return np.asarray(matrix / np.maximum(matrix.sum(axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def _ease(histories: Sequence[NDArray[np.int64]], items: int) -> Matrix:
    """B = I - P diag(1 / P), P = (X'X + ridge I)^-1."""
    held = np.zeros((len(histories), items), dtype=np.float64)
    for row, history in enumerate(histories):
        held[row, history] = 1.0
    inverse = np.linalg.inv(held.T @ held + RIDGE * np.eye(items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def _by_trait(histories: Sequence[NDArray[np.int64]], traits: Features, popularity: Matrix) -> dict[Hashable, Matrix]:
    counts: dict[Hashable, Matrix] = {}
    for history, of_user in zip(histories, traits, strict=True):
        for trait in of_user:
            row = counts.setdefault(trait, np.zeros(len(popularity), dtype=np.float32))
            np.add.at(row, history, 1.0)
    return {trait: (row + TRAIT_PRIOR * popularity) / (row.sum() + TRAIT_PRIOR) for trait, row in counts.items()}
