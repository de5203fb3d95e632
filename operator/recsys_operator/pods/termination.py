"""How a program in a pod ends: its last line on stderr is also what the pod's status shows."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

FAILED = 1
HOPELESS = 2
"""Another try cannot help: a Job gives up at once."""
LOG = Path("/dev/termination-log")


class TryAgain(Exception):
    """The other side cannot be reached, or failed; the message says which."""


def give_up(message: str, status: int) -> int:
    """Say why, where people and the operator look for it."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 what the kubelet shows
    # Outside a pod there is no such file, and it must not be made.
    if LOG.exists():
        with suppress(OSError):
            LOG.write_text(message, encoding="utf-8")
    return status
