"""The child that loads a catalogue: a job on stdin, one event a line on stdout (see ``catalog_job``)."""

from __future__ import annotations

import sys

from recsys_gateway.catalog.embedding import Embedder, EmbedderError
from recsys_gateway.catalog.importers.reading import read_items
from recsys_gateway.catalog.load_config import OnError
from recsys_gateway.catalog.load_summary import changes, skipped, totals
from recsys_gateway.catalog.loading import LoadError, LoadReport, load_catalog
from recsys_gateway.catalog.source import SourceError
from recsys_gateway.catalog.store import StoreUnavailable
from recsys_gateway.catalog.writing import CatalogWriter

from recsys_operator.local.catalog_job import Acknowledged, CatalogEvent, CatalogJob, Failed, Finished, Progressed


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
    return Finished(totals=totals(report), summary=changes(report), skipped=tuple(skipped(report)))


if __name__ == "__main__":
    main()
