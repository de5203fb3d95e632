"""One child process: started, waited for, watched, started again when it dies, stopped."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from recsys_operator.local.backoff import next_delay
from recsys_operator.local.health import is_healthy, wait_until_healthy
from recsys_operator.local.plan import ProcessSpec
from recsys_operator.local.spawning import exit_text, spawn, stop_group
from recsys_operator.local.state import ProcessState, ProcessStatus


class StartError(RuntimeError):
    """A process that did not come up the first time; the message names it, its last words and its log."""


class Child:
    """Runs ``spec`` and keeps it running. ``changed`` is called after every change of ``state``."""

    def __init__(self, spec: ProcessSpec, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.state = ProcessState(name=spec.name, status=ProcessStatus.STARTING, port=spec.port)
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once it is healthy; from then on it is kept running.

        Raises:
            StartError: it ended, or was not healthy in time; or another program already answers in its place.
        """
        if await is_healthy(self.spec.health):
            raise StartError(f"{self.spec.name} cannot start: another program has port {self.spec.port}")
        process = await self._spawn()
        healthy = asyncio.create_task(wait_until_healthy(self.spec.health))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({healthy, ended}, timeout=self.spec.start_seconds, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise StartError(self._last_words(f"ended with {exit_text(ended.result())} before it was ready"))
            if not healthy.done():
                raise StartError(self._last_words(f"was not ready after {self.spec.start_seconds:.0f} s"))
        finally:
            for task in (healthy, ended):
                task.cancel()
        self._set(status=ProcessStatus.READY)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def stop(self) -> None:
        """End it: asked first, killed after a few seconds. Nothing of its process group is left."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._process is not None:
            await stop_group(self._process, self.spec.stop_signal)
            self._set(status=ProcessStatus.STOPPED, pid=None, last_exit=self._process.returncode)

    async def _keep(self) -> None:
        delay: float | None = None
        while True:
            assert self._process is not None, "kept from its first start on"  # noqa: S101 for the types
            code = await self._process.wait()
            delay = next_delay(delay, time.monotonic() - self._started)
            self._set(status=ProcessStatus.BACKOFF, pid=None, last_exit=code, restarts=self.state.restarts + 1)
            self._note(f"ended with {exit_text(code)}; starting again in {delay:g} s")
            await asyncio.sleep(delay)
            await self._spawn()
            health = asyncio.create_task(wait_until_healthy(self.spec.health))
            ended = asyncio.create_task(self._process.wait())
            try:
                await asyncio.wait({health, ended}, return_when=asyncio.FIRST_COMPLETED)
                if health.done() and not ended.done():
                    self._set(status=ProcessStatus.READY)
            finally:
                health.cancel()
                ended.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self.spec.before_start()
        with self.spec.log.open("ab") as log:
            self._process = await spawn(
                self.spec.argv,
                self.spec.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._started = time.monotonic()
        self._set(status=ProcessStatus.STARTING, pid=self._process.pid)
        return self._process

    def _set(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
        self._changed()

    def _note(self, text: str) -> None:
        """A line of ours in the child's log."""
        with self.spec.log.open("a", encoding="utf-8") as log:
            log.write(f"[recsys] {self.spec.name} {text}\n")

    def _last_words(self, problem: str) -> str:
        return f"{self.spec.name} {problem}: {last_line(self.spec.log)} (log: {self.spec.log})"


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, or a few words that there is none."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it said nothing"
