"""How often each item was taken, in memory: what popularity is made of, at once after an event. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping


class EventCounts:
    """``version`` rises with every change that was noted, so that a slower reading of the store is known to be late."""

    def __init__(self, events: Mapping[str, int] | None = None) -> None:
        self.version = 0
        self._events: dict[str, int] = {}
        self._ranked: list[str] = []
        self.replace(events or {})

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, item_id: str) -> int:
        return self._events.get(item_id, 0)

    def share(self, item_id: str) -> float:
        """The item's part of all events, 0 to 1."""
        return self._events.get(item_id, 0) / self._total if self._total else 0.0

    def note(self, changes: Mapping[str, int]) -> None:
        """Add ``changes`` to the counts; one that sinks to 0 is forgotten."""
        for item_id, change in changes.items():
            before = self._events.pop(item_id, 0)
            after = max(0, before + change)
            if after:
                self._events[item_id] = after
            self._total += after - before
        self._ranked_for = 0
        self.version += 1

    def replace(self, events: Mapping[str, int]) -> None:
        """Take what the store says."""
        self._events = {item_id: count for item_id, count in events.items() if count > 0}
        self._total = sum(self._events.values())
        self._ranked_for = 0

    def most(self, limit: int) -> list[str]:
        """Up to ``limit`` items, most events first, equal ones by id."""
        if self._ranked_for < limit:
            self._ranked = heapq.nsmallest(limit, self._events, key=lambda item_id: (-self._events[item_id], item_id))
            self._ranked_for = limit
        return self._ranked[:limit]
