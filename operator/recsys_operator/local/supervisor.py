"""The children of one local system: started side by side or in order, kept running, stopped in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from recsys_operator.local.child import Child
from recsys_operator.local.plan import ProcessSpec
from recsys_operator.local.state import ProcessState


class Supervisor:
    """``changed`` gets the states of all children after every change, in the order of their start."""

    def __init__(self, changed: Callable[[tuple[ProcessState, ...]], None]) -> None:
        self._changed = changed
        self._children: list[Child] = []

    async def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start ``specs`` side by side; return when all are healthy. From then on each is kept running.

        Raises:
            StartError: of the first that failed; the others are left to ``stop``.
        """
        fresh = [Child(spec, self._tell) for spec in specs]
        self._children += fresh
        tasks = [asyncio.create_task(child.start(), name=f"start {child.spec.name}") for child in fresh]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Stop all, the last started first: who serves stops before what it stands on."""
        for child in reversed(self._children):
            await child.stop()

    def _tell(self) -> None:
        self._changed(tuple(child.state for child in self._children))
