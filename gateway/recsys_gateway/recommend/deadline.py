"""How long a request may still take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """``at`` is a reading of ``clock``, in seconds."""

    at: float
    clock: Callable[[], float]

    def left(self) -> float:
        """Seconds that are left, never below 0."""
        return max(0.0, self.at - self.clock())

    def share(self, part: float) -> Deadline:
        """The deadline of a step that may take ``part`` of what is left."""
        return Deadline(self.clock() + part * self.left(), self.clock)
