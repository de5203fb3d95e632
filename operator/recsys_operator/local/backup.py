"""`recsys backup` and `recsys restore`: the catalogue of the system that runs, as a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from recsys_gateway.catalog.backup import BackupError, backup, restore
from recsys_gateway.catalog.migration import NewerSchema
from recsys_gateway.catalog.store import StoreUnavailable
from recsys_gateway.catalog.writing import CatalogWriter

from recsys_operator.local.state import DataDirectory
from recsys_operator.program import program


class BackupFailed(RuntimeError):
    """Nothing was saved or restored, or not all of it; the message says why."""


def save(folder: Path, directory: DataDirectory) -> str:
    """Back the catalogue up into ``folder``; what was saved, in words."""
    return f"saved in {folder}: {_counted(backup, folder, directory)}"


def bring_back(folder: Path, directory: DataDirectory, *, replace: bool) -> str:
    """Restore the catalogue from ``folder``; what was restored, in words."""
    return f"restored from {folder}: {_counted(partial(restore, replace=replace), folder, directory)}"


def _counted(work: Callable[[CatalogWriter, Path], dict[str, int]], folder: Path, directory: DataDirectory) -> str:
    state = directory.running_state()
    if state is None or state.vector_store is None:
        raise BackupFailed(f"Nothing runs in {directory.path}: start it with: {program()} up")
    try:
        with CatalogWriter(state.vector_store) as writer:
            rows = work(writer, folder)
    except (BackupError, StoreUnavailable, NewerSchema, OSError) as error:
        raise BackupFailed(str(error)) from None
    return f"{rows['items']:,} items, {rows['users']:,} users, {rows['interactions']:,} events"
