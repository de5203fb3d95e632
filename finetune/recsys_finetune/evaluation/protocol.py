"""Leave one out: what is held out of each history, and who is asked about what. Pure.

Full ranking, no sampled negatives. Events of one timestamp keep the order of the file; another rule for ties moves
the figures of MovieLens by a fifth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

CORE = 5


class Split(StrEnum):
    TEST = "test"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Event:
    user: str
    item: str
    time: float


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what does ``user`` take after ``history`` (oldest first)? ``target`` is the answer."""

    user: str
    history: tuple[str, ...]
    target: str


def k_core(events: Sequence[Event], core: int = CORE) -> list[Event]:
    """The events of users and items that have at least ``core`` of them, again and again until none falls away."""
    kept = list(events)
    while True:
        users, items = Counter(event.user for event in kept), Counter(event.item for event in kept)
        left = [event for event in kept if users[event.user] >= core and items[event.item] >= core]
        if len(left) == len(kept):
            return left
        kept = left


def sequences(events: Sequence[Event]) -> dict[str, list[str]]:
    """Items of each user by time, ties in file order; users in the order of their first event."""
    histories: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: event.time):
        histories.setdefault(event.user, []).append(event.item)
    return histories


def leave_one_out(histories: Mapping[str, Sequence[str]], split: Split) -> list[Case]:
    """The last item of each history is its test, the second last its validation; who has too few is left out."""
    back = 1 if split is Split.TEST else 2
    return [Case(user, tuple(items[:-back]), items[-back]) for user, items in histories.items() if len(items) > back]


def training_histories(histories: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """What may be learnt from, whichever split is asked: every history without its validation and its test item."""
    return {user: tuple(items[:-2]) for user, items in histories.items()}
