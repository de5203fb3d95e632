"""How many calls may be sent a second time: so few that retries never become the load that they flee from."""

from __future__ import annotations

RESERVE = 10.0
"""Retries that are there before any call has earned one, and the most that can be saved up."""


class RetryBudget:
    def __init__(self, share: float) -> None:
        """``share``: retries that each call earns."""
        self._share = share
        self._left = RESERVE if share > 0 else 0.0

    def earn(self) -> None:
        """A call came."""
        self._left = min(RESERVE, self._left + self._share) if self._share else 0.0

    def spend(self) -> bool:
        """Whether one more may be sent again; it counts as sent."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
