"""What follows from all events together: item vectors, popularity, histories. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.collaborative import item_vectors

POPULAR_ITEMS = 500


@dataclass(frozen=True, slots=True, eq=False)
class EventSummary:
    """``vectors`` and ``popularity`` (shares of all events) follow ``items``; histories are oldest first."""

    items: Mapping[str, int]
    vectors: NDArray[np.float32]
    popularity: NDArray[np.float64]
    histories: Mapping[str, tuple[str, ...]]

    def vector_of(self, item_id: str) -> NDArray[np.float32] | None:
        """None for an item that no event tells anything of."""
        position = self.items.get(item_id)
        if position is None:
            return None
        vector: NDArray[np.float32] = self.vectors[position]
        return vector if vector.any() else None

    def popularity_of(self, item_id: str) -> float:
        position = self.items.get(item_id)
        return 0.0 if position is None else float(self.popularity[position])

    def most_popular(self, among: frozenset[str]) -> list[str]:
        """Up to ``POPULAR_ITEMS`` of the ids in ``among``, most events first, equal ones by id."""
        known = sorted(self.items.keys() & among, key=lambda item_id: (-self.popularity_of(item_id), item_id))
        return known[:POPULAR_ITEMS]


class EventLog:
    """Events, as numbers: 32 bytes each, so that all of them can be looked at together."""

    def __init__(self) -> None:
        self._user_ids: dict[str, int] = {}
        self._item_ids: dict[str, int] = {}
        self._users, self._items, self._positions = array("q"), array("q"), array("q")
        self._times = array("d")

    def add(self, event: Mapping[str, Any]) -> None:
        """Note a row with user_id, item_id, timestamp, and position among equal timestamps."""
        self._users.append(self._user_ids.setdefault(event["user_id"], len(self._user_ids)))
        self._items.append(self._item_ids.setdefault(event["item_id"], len(self._item_ids)))
        self._times.append(event["timestamp"])
        self._positions.append(event["position"])

    def summary(self, history_length: int) -> EventSummary:
        """What follows from the events; histories keep the latest ``history_length`` items."""
        order = np.lexsort((np.frombuffer(self._positions, np.int64), np.frombuffer(self._times, np.float64)))
        users = np.frombuffer(self._users, np.int64)[order]
        items = np.frombuffer(self._items, np.int64)[order]
        counts = np.bincount(items, minlength=len(self._item_ids)).astype(np.float64)
        return EventSummary(
            items=self._item_ids,
            vectors=item_vectors(users, items, len(self._item_ids)),
            popularity=counts / max(1.0, counts.sum()),
            histories=_histories(users, items, list(self._user_ids), list(self._item_ids), history_length),
        )


def _histories(
    users: NDArray[np.int64], items: NDArray[np.int64], user_ids: list[str], item_ids: list[str], length: int
) -> dict[str, tuple[str, ...]]:
    """The latest ``length`` items of each user; the events are in the order of time."""
    grouped = items[np.argsort(users, kind="stable")]
    ends = np.cumsum(np.bincount(users, minlength=len(user_ids)))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return {
        user_id: tuple(item_ids[item] for item in grouped[max(start, end - length) : end])
        for user_id, start, end in zip(user_ids, starts, ends, strict=True)
    }
