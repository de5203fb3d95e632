"""The teacher: a mixture of counts that says how likely each item comes next. The tuned model learns to say the same.

p(i | h) = sum_c w_c p_c(i | h), where the weights are those of the largest likelihood on the last item of each history
when the counts were made without it (deleted interpolation, Jelinek and Mercer 1980). Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item, Scalar, User

from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.item_statistics import COMPONENTS, Features, ItemStatistics, Matrix, likeness

EM_ROUNDS = 100
TRAIT_BINS = 4
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Teacher:
    """``weights`` in the order of COMPONENTS. ``traits`` maps a user id to the traits that the counts know."""

    statistics: ItemStatistics
    weights: NDArray[np.float64]
    traits: Mapping[str, frozenset[Hashable]]
    history_length: int

    @classmethod
    def fit(cls, catalogue: TrainingCatalogue, history_length: int) -> Teacher:
        """Learns from ``catalogue.histories``; a history is read as the prompt shows it, by its latest items."""
        rows, alike = catalogue.rows, likeness([item_features(item) for item in catalogue.items])
        users = [user for user, history in catalogue.histories.items() if history]
        histories = [np.array([rows[item] for item in catalogue.histories[user]], dtype=np.int64) for user in users]
        binned = trait_bins(catalogue.users)
        traits: Features = [binned.get(user, frozenset()) for user in users]
        shorter = ItemStatistics.count([history[:-1] for history in histories], traits, alike)
        likelihoods = [
            shorter.components(history[:-1][-history_length:], of_user)[:, history[-1]]
            for history, of_user in zip(histories, traits, strict=True)
            if len(history) >= SHORTEST
        ]
        weights = mixture_weights(np.array(likelihoods)) if likelihoods else np.full(len(COMPONENTS), 1.0)
        return cls(ItemStatistics.count(histories, traits, alike), weights / weights.sum(), binned, history_length)

    def probabilities(self, history: Sequence[int] | NDArray[np.int64], user: str | None) -> Matrix:
        """P(next item | history, user's traits). Shape (items,), sums to one; ``history`` holds rows of items."""
        latest = np.asarray(history, dtype=np.int64)[-self.history_length :]
        return np.asarray(self.weights @ self.statistics.components(latest, self._traits(user)), dtype=np.float32)

    def along(self, history: NDArray[np.int64], user: str | None) -> Matrix:
        """``probabilities`` after each beginning of a short ``history``, the empty one first: (len + 1, items)."""
        guesses = self.statistics.along(history, self._traits(user))
        return np.asarray(np.einsum("c,tci->ti", self.weights.astype(np.float32), guesses))

    def _traits(self, user: str | None) -> frozenset[Hashable]:
        return self.traits.get(user, frozenset()) if user is not None else frozenset()


def mixture_weights(likelihoods: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a mixture by expectation-maximisation; ``likelihoods`` (cases, components), all positive."""
    weights = np.full(likelihoods.shape[1], 1.0 / likelihoods.shape[1])
    for _ in range(EM_ROUNDS):
        shares = weights * likelihoods
        weights = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return weights


def item_features(item: Item) -> frozenset[Hashable]:
    """What likeness is told from: categories, and the values of text attributes with their words."""
    features: set[Hashable] = {("category", category.casefold()) for category in item.categories}
    for name, value in item.attributes.items():
        if isinstance(value, str):
            features.add((name, value.casefold()))
            features.update((name, word) for word in value.casefold().split()[:6])
    return frozenset(features)


def trait_bins(users: Mapping[str, User]) -> dict[str, frozenset[Hashable]]:
    """Traits that can be counted: text as it is, numbers by quartile."""
    numbers: dict[str, list[float]] = {}
    for user in users.values():
        for name, value in user.traits.items():
            if _is_number(value):
                numbers.setdefault(name, []).append(float(value))
    shares = np.linspace(0, 1, TRAIT_BINS + 1)[1:-1]
    edges = {name: np.quantile(values, shares) for name, values in numbers.items()}
    return {
        key: frozenset(
            (name, int(np.searchsorted(edges[name], float(value))) if _is_number(value) else str(value))
            for name, value in user.traits.items()
        )
        for key, user in users.items()
    }


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
