"""Time limits that share one timer: of thousands of calls nearly all end in time, and a timer for each costs more than
the rest of the limit.

The limits are looked at every ``STEP_SECONDS``, so each may fire that much late. Times are readings of the monotonic
clock; limits belong to the running loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Protocol, Self

STEP_SECONDS = 0.02


class Due(Protocol):
    """Something that happens at a time, unless it is taken back before."""

    due: float

    def fire(self) -> None: ...


class Sweep:
    """What is due on one loop. Nothing runs while there is nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[Due, None] = {}
        self._runs = False

    def add(self, each: Due) -> None:
        self._waiting[each] = None
        if not self._runs:
            self._runs = True
            self.loop.call_later(STEP_SECONDS, self._look)

    def remove(self, each: Due) -> None:
        """Take it back; nothing happens where it has fired."""
        self._waiting.pop(each, None)

    def _look(self) -> None:
        now = time.monotonic()
        for each in [each for each in self._waiting if each.due <= now]:
            del self._waiting[each]
            each.fire()
        self._runs = bool(self._waiting)
        if self._runs:
            self.loop.call_later(STEP_SECONDS, self._look)


_local = threading.local()


def sweep() -> Sweep:
    """The one of the running loop. A thread has one loop at a time, and one sweep for it."""
    loop = asyncio.get_running_loop()
    found: Sweep | None = getattr(_local, "sweep", None)
    if found is None or found.loop is not loop:
        found = _local.sweep = Sweep(loop)
    return found


class TimeLimit:
    """Ends a block by TimeoutError once ``due`` is over, as ``asyncio.timeout`` does. ``due`` may be moved."""

    __slots__ = ("_cancelling", "_fired", "_sweep", "_task", "due")

    def __init__(self, due: float) -> None:
        self.due = due
        self._fired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit needs a task")
        self._task, self._cancelling = task, task.cancelling()
        self._sweep = sweep()
        self._sweep.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sweep.remove(self)
        if self._fired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def fire(self) -> None:
        """End the block now."""
        if not self._fired:
            self._fired = True
            self._task.cancel()
