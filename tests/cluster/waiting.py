"""Waiting for what a control plane brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.2
"""Between two looks: each is a kubectl, which takes CPU from what is waited for."""
Seen = TypeVar("Seen")


def wait_for(look: Callable[[], Seen], what: str, seconds: float = WAIT_SECONDS) -> Seen:
    """The first true value of ``look``; fails with ``what`` and the last value where none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last seen: {found!r}")
        time.sleep(LOOK_SECONDS)
