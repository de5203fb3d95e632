"""What follows from all events together: item vectors, counts, histories. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.collaborative import item_vectors
from recsys_gateway.catalog.histories import EventType, PastEvent, also_dismissed


@dataclass(frozen=True, eq=False)
class EventSummary:
    """``items`` and ``users`` are positions by id; ``counts`` follows items. Dismissals are in ``dismissed`` alone.

    Vectors are computed when they are first asked for; a history is made when it is asked for: together they would take
    more memory than the events.
    """

    items: Mapping[str, int]
    users: Mapping[str, int]
    counts: NDArray[np.int64]
    dismissed: Mapping[str, tuple[str, ...]]
    _ordered: tuple[NDArray[np.int64], ...]
    _times: NDArray[np.float64]

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        users, items, _ = self._ordered
        return item_vectors(users, items, len(self.items))

    def vector_of(self, item_id: str) -> NDArray[np.float32] | None:
        """None for an item that no event tells anything of."""
        position = self.items.get(item_id)
        if position is None:
            return None
        vector: NDArray[np.float32] = self.vectors[position]
        return vector if vector.any() else None

    def events_of(self, item_id: str) -> int:
        position = self.items.get(item_id)
        return 0 if position is None else int(self.counts[position])

    def history_of(self, user_id: str, length: int) -> tuple[PastEvent, ...]:
        """The latest ``length`` events of a user, oldest first."""
        position = self.users.get(user_id)
        if position is None:
            return ()
        order, starts, names = self._by_user
        chosen = order[max(starts[position], starts[position + 1] - length) : starts[position + 1]]
        _, items, positions = self._ordered
        return tuple(PastEvent(float(self._times[at]), int(positions[at]), names[items[at]]) for at in chosen.tolist())

    @cached_property
    def _by_user(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """The events by user, where each user's begin, and the items' ids."""
        users, _, _ = self._ordered
        counts = np.bincount(users, minlength=len(self.users))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return np.argsort(users, kind="stable"), starts, list(self.items)


class EventLog:
    """Events, as numbers: 32 bytes each, so that all of them can be looked at together."""

    def __init__(self) -> None:
        self._user_ids: dict[str, int] = {}
        self._item_ids: dict[str, int] = {}
        self._dismissed: dict[str, tuple[str, ...]] = {}
        self._users, self._items, self._positions = array("q"), array("q"), array("q")
        self._times = array("d")

    def add(self, event: Mapping[str, Any]) -> None:
        """Note a row with user_id, item_id, type, timestamp, and position among equal timestamps."""
        user = self._user_ids.setdefault(event["user_id"], len(self._user_ids))
        if event["type"] == EventType.DISMISS:
            known = self._dismissed.get(event["user_id"], ())
            self._dismissed[event["user_id"]] = also_dismissed(known, [event["item_id"]])
            return
        self._users.append(user)
        self._items.append(self._item_ids.setdefault(event["item_id"], len(self._item_ids)))
        self._times.append(event["timestamp"])
        self._positions.append(event["position"])

    def summary(self) -> EventSummary:
        """What follows from the events."""
        positions, times = np.frombuffer(self._positions, np.int64), np.frombuffer(self._times, np.float64)
        order = np.lexsort((positions, times))
        items = np.frombuffer(self._items, np.int64)[order]
        return EventSummary(
            items=self._item_ids,
            users=self._user_ids,
            counts=np.bincount(items, minlength=len(self._item_ids)),
            dismissed=self._dismissed,
            _ordered=(np.frombuffer(self._users, np.int64)[order], items, positions[order]),
            _times=times[order],
        )
