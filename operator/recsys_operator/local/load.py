"""`recsys load`: the catalogue of a resource into the vector store of the system that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from recsys_gateway.config import InProcessEmbedder

from recsys_operator.api.recommender_system import ResourceError, load_resource
from recsys_operator.local.catalog_job import (
    Acknowledged,
    BadRowError,
    CatalogError,
    CatalogEvent,
    CatalogJob,
    Finished,
    OnError,
    catalog_child,
)
from recsys_operator.local.resolve import Resolver
from recsys_operator.local.state import DataDirectory
from recsys_operator.local.uris import samples_folder
from recsys_operator.program import program


class LoadError(RuntimeError):
    """Nothing to load, or nowhere to load it to, or it failed; the message says which."""


def load(file: Path, directory: DataDirectory, on_error: OnError, say: Callable[[str], None]) -> None:
    """Load the catalogue of the resource in ``file``; ``say`` gets a line after each flush and one at the end.

    Raises:
        LoadError: the resource, a row, or the vector store is at fault; or nothing runs in ``directory``.
    """
    state = directory.running_state()
    if state is None or state.vector_store is None:
        raise LoadError(f"Nothing runs in {directory.path}: start it with: {program()} up -f {file}")

    def told(event: CatalogEvent) -> None:
        if isinstance(event, Acknowledged):
            say(f"acknowledged {event.rows}")

    try:
        source, embedder = Resolver(file, samples_folder()).resolve_catalog(load_resource(file))
        job = CatalogJob(
            source=source,
            vector_store=state.vector_store,
            embedder=InProcessEmbedder(path=embedder),
            on_error=on_error,
        )
        finished = asyncio.run(_load(job, directory.log("load"), told))
        for line in (finished.summary, *finished.skipped):
            say(line)
    except BadRowError as error:
        raise LoadError(str(error.with_hint(f"{program()} load"))) from None
    except (ResourceError, CatalogError) as error:
        raise LoadError(str(error)) from None


async def _load(job: CatalogJob, log: Path, told: Callable[[CatalogEvent], None]) -> Finished:
    async with catalog_child(log) as child:
        return await child.load(job, told)
