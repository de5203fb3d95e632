"""The child that loads a catalogue: a job on stdin, one event a line on stdout (see ``catalog_job``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from recsys_gateway.catalog.embedding import Embedder, EmbedderError
from recsys_gateway.catalog.importers.reading import read_items
from recsys_gateway.catalog.loading import LoadError, LoadReport, OnError, TableReport, load_catalog
from recsys_gateway.catalog.source import SourceError
from recsys_gateway.catalog.store import StoreUnavailable
from recsys_gateway.catalog.writing import CatalogWriter

from recsys_operator.local.catalog_job import Acknowledged, CatalogEvent, CatalogJob, Failed, Finished, Progressed

TABLES = {"items": "items", "users": "users", "interactions": "events"}
"""What a short line calls the rows of each table."""


def main() -> None:
    """Load, and end with one ``Finished`` or ``Failed``."""
    job = CatalogJob.model_validate_json(sys.stdin.buffer.read())
    try:
        tell(finished(run(job)))
    except LoadError as error:
        tell(Failed(problem=str(error), bad_row=True))
    except (SourceError, EmbedderError, StoreUnavailable) as error:
        tell(Failed(problem=str(error)))


def run(job: CatalogJob) -> LoadReport:
    """Load the catalogue of ``job`` and tell of its progress; raises as ``load_catalog``."""
    embedder = Embedder.load(job.embedder.path)
    # Read once more than needed: a bar wants to know where it ends, and rows are cheap beside their vectors.
    total = sum(1 for _ in read_items(job.source.items))

    def progress(stage: str, rows: int) -> None:
        tell(Progressed(stage=stage, done=rows, total=total if stage == "items" else None))

    with CatalogWriter(job.vector_store, lambda rows: tell(Acknowledged(rows=rows))) as writer:
        return load_catalog(job.source, writer, embedder, on_error=OnError(job.on_error), progress=progress)


def tell(event: CatalogEvent) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(event.model_dump_json(by_alias=True) + "\n")
    sys.stdout.flush()


def finished(report: LoadReport) -> Finished:
    """What the user reads at the end."""
    tables = {"items": report.items, "users": report.users, "interactions": report.interactions}
    bad = sum(table.bad_rows for table in tables.values())
    totals = [f"{table.read:,} {TABLES[name]}" for name, table in tables.items() if table.read]
    totals += [f"{bad:,} bad row{'s' if bad > 1 else ''} skipped"] if bad else []
    lines = [", ".join(f"{table.read} {name} ({_changes(table)})" for name, table in tables.items() if table.read)]
    if report.unknown_items:
        lines.append(f"{report.unknown_items} items of the interactions are not in the catalogue")
    return Finished(totals=", ".join(totals), summary="\n".join(lines), skipped=tuple(_skipped(tables)))


def _skipped(tables: Mapping[str, TableReport]) -> Iterator[str]:
    for name, table in tables.items():
        yield from (f"skipped: {problem}" for problem in table.bad)
        if table.bad_rows > len(table.bad):
            yield f"skipped: {table.bad_rows - len(table.bad)} more rows of {name}"


def _changes(table: TableReport) -> str:
    return ", ".join(_nonzero(added=table.added, changed=table.changed, removed=table.removed)) or "unchanged"


def _nonzero(**counts: int) -> Iterator[str]:
    for name, count in counts.items():
        if count:
            yield f"{count} {name}"


if __name__ == "__main__":
    main()
