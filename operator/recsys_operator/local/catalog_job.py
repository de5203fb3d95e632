"""Loading of a catalogue by a child process: Ctrl-C need not wait for it, and its memory is given back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.config import Frozen, InProcessEmbedder, VectorStore

from recsys_operator.local.spawning import exit_text, spawn, stop_group


class OnError(StrEnum):
    """What a bad row does: end the load, or be counted and left out."""

    STOP = "stop"
    SKIP = "skip"


class CatalogJob(Frozen):
    """What the child reads from its stdin. Addresses in ``source`` are all ``file://``."""

    source: CatalogSource
    vector_store: VectorStore
    embedder: InProcessEmbedder
    on_error: OnError = OnError.STOP


class Embedded(Frozen):
    """``done`` of ``total`` items that are new or changed have their vectors."""

    event: Literal["embedded"] = "embedded"
    done: int
    total: int


class Acknowledged(Frozen):
    """``rows`` rows are in the vector store, flushed."""

    event: Literal["acknowledged"] = "acknowledged"
    rows: int


class Finished(Frozen):
    """The end: what was loaded, in words."""

    event: Literal["finished"] = "finished"
    summary: str


class Failed(Frozen):
    """The end: what was wrong, with file and line where it is a row."""

    event: Literal["failed"] = "failed"
    problem: str


CatalogEvent = Embedded | Acknowledged | Finished | Failed
"""What the child writes to its stdout, one JSON object a line."""

_EVENT: TypeAdapter[CatalogEvent] = TypeAdapter(CatalogEvent)


class CatalogError(RuntimeError):
    """The catalogue was not loaded; the message says why."""


async def load_in_child(job: CatalogJob, log: Path, told: Callable[[CatalogEvent], None]) -> str:
    """Load the catalogue; ``told`` gets every event but the last, whose summary is returned.

    Raises:
        CatalogError: a row, a file, the embedder or the vector store failed.
    """
    with log.open("wb") as errors:
        process = await spawn(
            (sys.executable, "-m", "recsys_operator.local.catalog_process"),
            {"ORT_DISABLE_TELEMETRY": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    try:
        assert process.stdin is not None, "both are pipes"  # noqa: S101
        assert process.stdout is not None, "both are pipes"  # noqa: S101
        process.stdin.write(job.model_dump_json(by_alias=True).encode())
        process.stdin.close()
        async for line in process.stdout:
            match _parse(line, log):
                case Finished(summary=summary):
                    return summary
                case Failed(problem=problem):
                    raise CatalogError(problem)
                case event:
                    told(event)
        raise CatalogError(f"loading the catalogue ended with {exit_text(await process.wait())} (log: {log})")
    finally:
        await stop_group(process)


def _parse(line: bytes, log: Path) -> CatalogEvent:
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        shown = line.decode(errors="replace").strip()[:200]
        raise CatalogError(f"loading the catalogue said what is not understood: {shown} (log: {log})") from None
