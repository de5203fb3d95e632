"""``recsys-gateway load``: a catalogue into Milvus, once, as the Job of a cluster does it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from recsys_gateway.catalog.load_config import LoadConfig, load_load_config
from recsys_gateway.document import ConfigurationError

TERMINATION_LOG = Path("/dev/termination-log")
"""What Kubernetes shows as the reason of a container's end, where it has put such a file."""
LOOK_SECONDS = 1.0
DONE, FAILED, WRONG_USAGE = 0, 1, 2

Found = TypeVar("Found")


class LoadFailed(Exception):
    """The catalogue was not loaded; the message says why and what to do."""


def main(arguments: Sequence[str]) -> int:
    """Load. Exit status: 0 loaded, 1 failed (another try may help), 2 wrong usage or configuration (none will)."""
    parser = argparse.ArgumentParser(prog="recsys-gateway load", description="Load a catalogue into Milvus.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="what to load and where to, YAML")
    parser.add_argument(
        "--termination-log",
        type=Path,
        default=TERMINATION_LOG,
        metavar="FILE",
        help="the last message goes there, too, where the file exists (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        status, message = DONE, run(load_load_config(options.config), say)
    except ConfigurationError as error:
        status, message = WRONG_USAGE, str(error)
    except LoadFailed as error:
        status, message = FAILED, str(error)
    (sys.stdout if status == DONE else sys.stderr).write(message + "\n")
    if options.termination_log.is_file():
        options.termination_log.write_text(message[-4000:], encoding="utf-8")
    return status


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(config: LoadConfig, say: Callable[[str], None]) -> str:
    """What the catalogue holds then, in words. ``say`` gets a line after each flush, and about what is waited for.

    Raises:
        LoadFailed: a table, the embedder, the vector store or a row is at fault.
    """
    # Imported after the configuration is known to parse: it takes seconds, and a refusal should not.
    from recsys_gateway.catalog.embedders import load_embedder
    from recsys_gateway.catalog.embedding import EmbedderError
    from recsys_gateway.catalog.fetching import fetch_catalog
    from recsys_gateway.catalog.load_summary import changes, skipped, totals
    from recsys_gateway.catalog.loading import LoadError, load_catalog
    from recsys_gateway.catalog.migration import NewerSchema
    from recsys_gateway.catalog.source import SourceError
    from recsys_gateway.catalog.store import StoreUnavailable
    from recsys_gateway.catalog.writing import CatalogWriter

    def writer() -> CatalogWriter:
        made = CatalogWriter(config.vector_store, lambda rows: say(f"acknowledged {rows}"))
        try:
            made.check()
        except StoreUnavailable:
            made.close()
            raise
        return made

    deadline = time.monotonic() + config.wait_seconds
    try:
        with TemporaryDirectory() as folder:
            # Tables first: a wrong address need not wait for a model that is pulled for minutes.
            catalog = fetch_catalog(config.catalog, Path(folder), config.max_table_bytes)
            embedder = _waited_for("the embedder", lambda: load_embedder(config.embedder), EmbedderError, deadline, say)
            with _waited_for("the vector store", writer, StoreUnavailable, deadline, say) as opened:
                report = load_catalog(catalog, opened, embedder, on_error=config.on_error)
    except LoadError as error:
        raise LoadFailed(f"{error} (onError: skip loads the rest)") from None
    except (SourceError, EmbedderError, NewerSchema, StoreUnavailable, OSError) as error:
        raise LoadFailed(str(error)) from None
    for line in skipped(report):
        say(line)
    say(changes(report))
    return f"loaded: {totals(report)}"


def _waited_for(
    what: str, made: Callable[[], Found], away: type[Exception], deadline: float, say: Callable[[str], None]
) -> Found:
    """What ``made`` gives as soon as it gives it.

    Raises:
        LoadFailed: not before ``deadline``; with the last reason.
    """
    told = ""
    while True:
        try:
            return made()
        except away as error:
            if time.monotonic() >= deadline:
                raise LoadFailed(f"{what} did not come up in time: {error}") from None
            if str(error) != told:
                told = str(error)
                say(f"waiting for {what}: {told}")
        time.sleep(LOOK_SECONDS)
