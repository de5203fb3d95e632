"""Loading of a catalogue by a child process: Ctrl-C need not wait for it, and its memory is given back."""

from __future__ import annotations

import asyncio.subprocess
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.config import InProcessEmbedder, VectorStore
from recsys_gateway.document import Frozen

from recsys_operator.local.spawning import exit_text, spawn, stop_group

OnError = Literal["stop", "skip"]
"""What a bad row does: end the load, or be counted and left out."""


class CatalogJob(Frozen):
    """What the child reads from its stdin. Addresses in ``source`` are all ``file://``."""

    source: CatalogSource
    vector_store: VectorStore
    embedder: InProcessEmbedder
    on_error: OnError = "stop"


class Progressed(Frozen):
    """``done`` rows of a stage (interactions, vectors, items, users) are done, of ``total`` where it is known."""

    event: Literal["progressed"] = "progressed"
    stage: str
    done: int
    total: int | None = None


class Acknowledged(Frozen):
    """``rows`` rows in all are in the vector store, flushed."""

    event: Literal["acknowledged"] = "acknowledged"
    rows: int


class Finished(Frozen):
    """The end: ``totals``, what the catalogue now holds, and ``summary``, what this load changed; both in words.

    ``skipped`` are the bad rows that were left out, a line each.
    """

    event: Literal["finished"] = "finished"
    totals: str
    summary: str
    skipped: tuple[str, ...] = ()


class Failed(Frozen):
    """The end: what was wrong, with file and line where ``bad_row`` says that it is a row."""

    event: Literal["failed"] = "failed"
    problem: str
    bad_row: bool = False


CatalogEvent = Progressed | Acknowledged | Finished | Failed
"""What the child writes to its stdout, one JSON object a line."""

_EVENT: TypeAdapter[CatalogEvent] = TypeAdapter(CatalogEvent)


class CatalogError(RuntimeError):
    """The catalogue was not loaded; the message says why."""


class BadRowError(CatalogError):
    """A bad row stopped the load; the message is its file, line and reason."""

    def with_hint(self, command: str) -> CatalogError:
        """The same, with what to type to load without that row."""
        return CatalogError(f"{self} ({command} --on-error skip loads the rest)")


@asynccontextmanager
async def catalog_child(log: Path) -> AsyncIterator[CatalogChild]:
    """A child that waits for its job; what it imports meanwhile takes seconds. It ends with the block."""
    with log.open("wb") as errors:
        process = await spawn(
            (sys.executable, "-m", "recsys_operator.local.catalog_process"),
            {"ORT_DISABLE_TELEMETRY": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield CatalogChild(process, log)
    finally:
        await stop_group(process)


@dataclass(frozen=True, slots=True)
class CatalogChild:
    """A child that takes one job."""

    process: asyncio.subprocess.Process
    log: Path

    async def load(self, job: CatalogJob, told: Callable[[CatalogEvent], None]) -> Finished:
        """Load the catalogue; ``told`` gets every event but the last, which is returned.

        Raises:
            BadRowError: a row is wrong, and the job says to stop then.
            CatalogError: a file, the embedder or the vector store failed.
        """
        assert self.process.stdin is not None, "both are pipes"  # noqa: S101 for the types
        assert self.process.stdout is not None, "both are pipes"  # noqa: S101 for the types
        self.process.stdin.write(job.model_dump_json(by_alias=True).encode())
        self.process.stdin.close()
        async for line in self.process.stdout:
            match self._parse(line):
                case Finished() as finished:
                    return finished
                case Failed(problem=problem, bad_row=bad_row):
                    raise BadRowError(problem) if bad_row else CatalogError(problem)
                case event:
                    told(event)
        ended = exit_text(await self.process.wait())
        raise CatalogError(f"loading the catalogue ended with {ended} (log: {self.log})")

    def _parse(self, line: bytes) -> CatalogEvent:
        try:
            return _EVENT.validate_json(line)
        except ValidationError:
            shown = line.decode(errors="replace").strip()[:200]
            raise CatalogError(
                f"loading the catalogue said what is not understood: {shown} (log: {self.log})"
            ) from None
