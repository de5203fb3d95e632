"""The thin edge of the work queue: asyncio tasks, a steady clock, random jitter."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from recsys_operator.reconcile.work_queue import Key, WorkQueue

_log = logging.getLogger(__name__)

CONCURRENCY = 64
"""Systems that are worked on at once. The connections are what bounds the requests under way: see cluster_api.py."""
DEBOUNCE_SECONDS = 0.05
"""Between an event and its key's turn: who changes one thing often changes another at once."""
CALM_SECONDS = 0.5
"""The same for what children and pods do of themselves: a rollout's events come in bursts."""

Work = Callable[[Key], Awaitable[float | None]]
"""Reconciles a key and tells in how many seconds to look again; None: the system is gone."""


class Workers:
    """Runs ``work`` for the keys that are due, until it is cancelled."""

    def __init__(self, work: Work, queue: WorkQueue | None = None) -> None:
        self._work = work
        self._queue = queue or WorkQueue()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def mark(self, key: Key, delay: float = DEBOUNCE_SECONDS) -> None:
        self._queue.mark(key, time.monotonic() + delay)
        self._changed.set()

    def mark_calmly(self, key: Key) -> None:
        self.mark(key, CALM_SECONDS)

    def depth(self) -> int:
        return self._queue.waiting(time.monotonic())

    async def run(self) -> None:
        """Until cancelled; then what is under way is cancelled too and waited for."""
        try:
            while True:
                self._changed.clear()
                self._start_what_is_due()
                await self._until_something_is_due()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start_what_is_due(self) -> None:
        while len(self._tasks) < CONCURRENCY and (key := self._queue.take(time.monotonic())) is not None:
            task = asyncio.create_task(self._one(key), name=f"reconcile {key}")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _one(self, key: Key) -> None:
        try:
            again = await self._work(key)
        except Exception as error:
            delay = self._queue.failed(key, time.monotonic(), random.random())
            _log.warning(
                "reconciling failed",
                extra={"system": str(key), "error": str(error) or type(error).__name__, "again_in": round(delay, 2)},
                exc_info=not isinstance(error, OSError),
            )
        else:
            self._queue.done(key, None if again is None else time.monotonic() + again)

    async def _until_something_is_due(self) -> None:
        due = self._queue.next_due()
        busy = len(self._tasks) >= CONCURRENCY
        timeout = None if due is None or busy else max(0.0, due - time.monotonic())
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return
