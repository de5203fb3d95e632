"""Which pods are left alone for a while: those that cannot be reached, that fail again and again, or that fell silent.

An error of the engine's own (500) ejects nobody: one client's bad request must not take healthy pods away.
"""

from __future__ import annotations

from enum import StrEnum

FAILURES_IN_A_ROW = 3
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0
SILENT_SCRAPES = 2
"""Scrapes that ran into their timeout one after the other, with no byte of any call in between: the pod is frozen."""


class Fault(StrEnum):
    """What speaks against a pod."""

    UNREACHABLE = "unreachable"  # it refuses connections: it is down, and every call would fail
    BROKEN = "broken"  # a connection was lost: by a crash, or by one bad answer
    TIMEOUT = "timeout"
    BAD_GATEWAY = "bad_gateway"  # 502, 503 that is no overload, 504
    SILENT = "silent"


class Ejection:
    """One pod's record. Times are readings of the caller's clock, in seconds."""

    def __init__(self) -> None:
        self.until = 0.0
        self.fault: Fault | None = None
        self._failures = 0
        self._times = 0
        self._silent_scrapes = 0
        self._silent_since = 0.0

    def out(self, now: float) -> bool:
        """Whether the pod gets no call now."""
        return now < self.until

    def failed(self, fault: Fault, now: float) -> bool:
        """Note a failure; whether it ejects the pod now."""
        self._failures += 1
        if fault in {Fault.BROKEN, Fault.TIMEOUT, Fault.BAD_GATEWAY} and self._failures < FAILURES_IN_A_ROW:
            return False
        return self._eject(fault, now)

    def succeeded(self) -> bool:
        """Note a sign of good health; whether the pod was ejected and is back by this."""
        was_out = self.fault is not None
        self.until, self.fault, self._failures, self._times = 0.0, None, 0, 0
        self._silent_scrapes = 0
        return was_out

    def scrape_timed_out(self, started: float, last_sign: float, now: float) -> bool:
        """A scrape begun at ``started`` got no answer; ``last_sign``: when the pod last sent a byte. Whether the pod
        is ejected now for its silence."""
        if self._silent_scrapes == 0 or last_sign > self._silent_since:
            self._silent_scrapes, self._silent_since = 0, started
        self._silent_scrapes += 1
        if self._silent_scrapes < SILENT_SCRAPES or last_sign > self._silent_since:
            return False
        return self._eject(Fault.SILENT, now)

    def _eject(self, fault: Fault, now: float) -> bool:
        fresh = not self.out(now)
        if fresh:
            self._times += 1
        self.fault = fault
        self.until = max(self.until, now + min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (self._times - 1)))
        return fresh
