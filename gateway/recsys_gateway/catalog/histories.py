"""A customer's latest events, and how new ones join them. Pure.

Events that come again, late or out of order give the same history: it is a set, ordered by time, of which the latest
are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

HISTORY_LENGTH = 100
"""Latest events kept with a customer."""
DISMISSED_LENGTH = 200
"""Latest items kept that a customer does not want to see."""


class EventType(StrEnum):
    """What customers do. A source may name others: they count as interest in the item."""

    VIEW = "view"
    CLICK = "click"
    PURCHASE = "purchase"
    RATING = "rating"
    DISMISS = "dismiss"
    """Not this: the item is not shown to the customer again, and is no sign of taste."""


@dataclass(frozen=True, slots=True, order=True)
class PastEvent:
    """An event as a history keeps it. ``position`` orders events of one timestamp."""

    timestamp: float
    position: int
    item_id: str

    @classmethod
    def of(cls, listed: Sequence[Any], place: int = 0) -> PastEvent:
        """From its form in the store; an item's id alone, at ``place``, is one of the first schema version."""
        if isinstance(listed, str):
            return cls(0.0, place, listed)
        item_id, timestamp, position = listed
        return cls(float(timestamp), int(position), str(item_id))

    def listed(self) -> list[str | float | int]:
        return [self.item_id, self.timestamp, self.position]


def merged(known: Iterable[PastEvent], new: Iterable[PastEvent], length: int = HISTORY_LENGTH) -> tuple[PastEvent, ...]:
    """The latest ``length`` of both, oldest first, each event once."""
    return tuple(sorted({*known, *new})[-length:])


def past_events(listed: Iterable[Sequence[Any]]) -> tuple[PastEvent, ...]:
    """A stored history."""
    return tuple(PastEvent.of(each, place) for place, each in enumerate(listed))


def also_dismissed(known: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    """The latest dismissed items, each once."""
    return tuple(dict.fromkeys((*known, *new)))[-DISMISSED_LENGTH:]
