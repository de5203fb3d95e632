"""How many calls a pod runs at once: what the configuration says, else what is seen; less after an overload."""

from __future__ import annotations

import math

UNKNOWN_SLOTS = 8.0
MAX_SLOTS = 1024.0
SHRINK = 0.7
RECOVERY_SECONDS = 1.0
"""Time for each slot that comes back after an overload."""
SLOW_START_SECONDS = 5.0


class Capacity:
    """``slots`` is None where it has to be learnt: what runs while something is queued, and one more a scrape while
    all that was sent runs at once."""

    def __init__(self, slots: int | None, since: float | None) -> None:
        """``since``: when the pod came, or came back; None for one that was there from the start."""
        self._configured = slots
        self._limit = float(slots or UNKNOWN_SLOTS)
        self._allowed = self._limit
        self._shrunk_at = -math.inf
        self._since = since

    @property
    def limit(self) -> float:
        """Slots that the pod has, as far as is known."""
        return self._limit

    def at(self, now: float) -> float:
        """Slots that may be filled now, at least 1."""
        if self._since is None and self._shrunk_at == -math.inf:
            return self._limit
        allowed = min(self._limit, self._allowed + max(0.0, now - self._shrunk_at) / RECOVERY_SECONDS)
        if self._since is not None:
            share = (now - self._since) / SLOW_START_SECONDS
            if share >= 1:
                self._since = None
            else:
                allowed *= max(0.0, share)
        return max(1.0, allowed)

    def learn(self, queued: float, running: float) -> None:
        """From a scrape."""
        if self._configured is not None or running < 1:
            return
        if queued >= 1:
            self._limit = min(MAX_SLOTS, running)
        elif running >= self._limit - 1:
            self._limit = min(MAX_SLOTS, max(self._limit, running) + 1)
        self._allowed = self._limit if self._shrunk_at == -math.inf else min(self._allowed, self._limit)

    def overloaded(self, running: float, now: float) -> None:
        """The engine refused a call while ``running`` of ours were there: fewer from now on, then more again."""
        self._allowed = max(1.0, SHRINK * min(self.at(now), max(1.0, running)))
        self._shrunk_at = now

    def restart(self, now: float) -> None:
        """The pod is back: it begins with one call and gets its share within some seconds."""
        self._since = now
