"""Which systems are due. Events only mark a key dirty; what is to be done is found out when the key's turn comes.

The rules, which the tests hold it to: no key that was marked is lost; one key is never worked on twice at once; a key
that is marked while it is worked on has its turn again; a key that failed waits longer each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """A RecommenderSystem by its place."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds until a failed key has its next turn: doubled each time, from ``first`` up to ``longest``."""

    first: float = 0.5
    longest: float = 60.0

    def seconds(self, failures: int, jitter: float) -> float:
        """``jitter`` in [0, 1) takes up to a half off, so that what failed together does not come back together."""
        return float(min(self.longest, self.first * 2 ** min(failures - 1, 16))) * (1 - jitter / 2)


class WorkQueue:
    """Takes no clock: ``now`` is handed in, in seconds of any steady clock."""

    def __init__(self, backoff: Backoff = Backoff()) -> None:
        self._backoff = backoff
        self._due: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        """Keys that are known, whether due, waiting or worked on."""
        return len(self._due.keys() | self._running)

    def waiting(self, now: float) -> int:
        """Keys that are due and have nobody yet."""
        return sum(at <= now for key, at in self._due.items() if key not in self._running)

    def mark(self, key: Key, at: float) -> None:
        """``key`` shall have its turn at ``at`` or before."""
        self._due[key] = min(at, self._due.get(key, at))

    def take(self, now: float) -> Key | None:
        """The key that has been due for longest, now in the taker's hands until it is done or failed."""
        due = min((key for key in self._due if key not in self._running), key=self._due.__getitem__, default=None)
        if due is None or self._due[due] > now:
            return None
        del self._due[due]
        self._running.add(due)
        return due

    def next_due(self) -> float | None:
        """When to look again; None: only when a key is marked, done or failed."""
        return min((at for key, at in self._due.items() if key not in self._running), default=None)

    def done(self, key: Key, again_at: float | None = None) -> None:
        """``again_at``: when to look again unasked; None: never, the system is gone."""
        self._running.remove(key)
        self._failures.pop(key, None)
        if again_at is not None:
            self.mark(key, again_at)

    def failed(self, key: Key, now: float, jitter: float) -> float:
        """The seconds until its next turn, which a new mark may bring forward."""
        self._running.remove(key)
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = self._backoff.seconds(self._failures[key], jitter)
        self.mark(key, now + delay)
        return delay
