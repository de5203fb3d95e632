"""uvicorn that drains: after SIGTERM it is not ready, refuses new requests, and lets those end that have begun."""

from __future__ import annotations

import asyncio
import logging
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from recsys_gateway.api.envelope import Gate
from recsys_gateway.api.runtime import Runtime

CLOSE_SECONDS = 1
"""For connections to close; what is still open after the drain is cut."""
LOOK_SECONDS = 0.05

log = logging.getLogger("recsys_gateway")


class DrainingServer(uvicorn.Server):
    """The listener stays open while it drains: ``/readyz`` says 503, and a new call is told to come again."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_seconds = drain_seconds
        self._drain: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains; the second one ends what is left."""
        runtime: Runtime | None = getattr(self._app.state, "runtime", None)
        if runtime is None or self._drain is not None:
            super().handle_exit(sig, frame)
            return
        runtime.gate.closed = True
        self._drain = asyncio.get_running_loop().create_task(self._ended(runtime.gate, sig, frame))

    async def _ended(self, gate: Gate, sig: int, frame: FrameType | None) -> None:
        began = time.monotonic()
        log.info("draining", extra={"requests": gate.open})
        while gate.open and time.monotonic() - began < self._drain_seconds:  # noqa: ASYNC110  a signal is no hurry
            await asyncio.sleep(LOOK_SECONDS)
        log.info("drained", extra={"left": gate.open, "seconds": round(time.monotonic() - began, 2)})
        super().handle_exit(sig, frame)
