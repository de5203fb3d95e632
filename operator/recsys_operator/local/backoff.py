"""How long to wait before a process that died is started again."""

from __future__ import annotations

FIRST_SECONDS = 0.5
CAP_SECONDS = 30.0
RAN_WELL_SECONDS = 30.0


def next_delay(previous: float | None, ran_seconds: float) -> float:
    """Seconds to wait: twice the previous delay up to the cap, and the first one again after a good run.

    Args:
        previous: the delay before the run that just ended; None for the first run.
        ran_seconds: how long that run lasted.
    """
    if previous is None or ran_seconds >= RAN_WELL_SECONDS:
        return FIRST_SECONDS
    return min(previous * 2, CAP_SECONDS)
