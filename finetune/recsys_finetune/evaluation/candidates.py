"""The candidates that retrieval would show the tuned model: the gateway's collaborative search, in memory. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.collaborative import item_vectors, user_vector

from recsys_finetune.evaluation.baselines import Popularity, best


@dataclass(frozen=True, slots=True, eq=False)
class CollaborativeCandidates:
    """Item vectors by their order in ``items``; sold-out items are never shown, as in the gateway."""

    items: tuple[str, ...]
    index: Mapping[str, int]
    vectors: NDArray[np.float32]
    sold_out: tuple[str, ...]
    popularity: Popularity

    @classmethod
    def fit(
        cls, histories: Mapping[str, Sequence[str]], catalogue: Sequence[str], sold_out: Sequence[str] = ()
    ) -> CollaborativeCandidates:
        """From histories alone; each of their items is in ``catalogue``."""
        index = {item: number for number, item in enumerate(catalogue)}
        events = [(user, index[item]) for user, history in enumerate(histories.values()) for item in history]
        users, items = np.array(events, dtype=np.int64).reshape(-1, 2).T
        return cls(
            items=tuple(catalogue),
            index=index,
            vectors=item_vectors(users, items, len(catalogue)),
            sold_out=tuple(sold_out),
            popularity=Popularity.fit(histories, catalogue),
        )

    def retrieve(self, history: Sequence[str], limit: int) -> list[str]:
        """The ``limit`` unseen items nearest to the user's vector; what is popular for a history that says nothing."""
        known = [self.vectors[self.index[item]] for item in history if item in self.index]
        wanted = user_vector([vector for vector in known if vector.any()])
        scores = self.popularity.counts if wanted is None else (self.vectors @ wanted).astype(np.float64)
        return best(scores, self.items, [*history, *self.sold_out], limit)

    def rank(self, history: Sequence[str], limit: int) -> list[str]:
        """Retrieval alone, as a ranker to compare with."""
        return self.retrieve(history, limit)
