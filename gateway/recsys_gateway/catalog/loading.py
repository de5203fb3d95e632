"""Load a catalogue: what is new or changed is written, what is gone is removed, and a second load writes nothing.

The order is: interactions (append-only), what follows from all of them (vectors, popularity, histories), items, users,
facts about the whole. A load that is cut short is made good by the next one: the fact ``derived``, which says of how
many events the rows know, is written last.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.event_summary import EventLog, EventSummary
from recsys_gateway.catalog.filters import FieldKind, kind_of
from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.rows import content_hash, interaction_row, item_hash, item_row, user_hash, user_row
from recsys_gateway.catalog.source import CatalogSource, SourceError
from recsys_gateway.catalog.writing import CatalogWriter

ITEM_BATCH = 1_000
USER_BATCH = 1_000
INTERACTION_BATCH = 5_000
SHOWN_ERRORS = 20

Record = TypeVar("Record")
Progress = Callable[[str, int], None]
"""Called with what is being done (``interactions``, ``vectors``, ``items``, ``users``) and how many rows are done."""


class OnError(StrEnum):
    """What a bad row does: stops the load, or is counted and left out."""

    STOP = "stop"
    SKIP = "skip"


class LoadError(Exception):
    """A bad row stopped the load; the message is its file, line and reason. What was acknowledged stays."""


class TextEmbedder(Protocol):
    """Unit vectors of texts, [n, dimension]."""

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(slots=True)
class TableReport:
    """Rows of one table. ``bad`` holds the first bad rows, ``bad_rows`` counts all of them."""

    read: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    bad_rows: int = 0
    bad: list[RowError] = field(default_factory=list)


@dataclass(slots=True)
class LoadReport:
    """What a load did. ``unknown_items`` counts items that the interactions name and the catalogue lacks."""

    items: TableReport = field(default_factory=TableReport)
    users: TableReport = field(default_factory=TableReport)
    interactions: TableReport = field(default_factory=TableReport)
    unknown_items: int = 0

    @property
    def changes(self) -> int:
        """Records that were added, changed or removed: 0 where the catalogue was loaded already."""
        tables = (self.items, self.users, self.interactions)
        return sum(table.added + table.changed + table.removed for table in tables)


def load_catalog(
    source: CatalogSource,
    writer: CatalogWriter,
    embedder: TextEmbedder,
    *,
    on_error: OnError = OnError.STOP,
    progress: Progress = lambda stage, rows: None,
) -> LoadReport:
    """Make the catalogue in Milvus equal to ``source``; interactions are only added.

    Where bad rows were skipped nothing is removed: a row that cannot be read is no row that is gone.

    Raises:
        SourceError: a table cannot be read, or holds no items. Nothing was written, or what was is acknowledged.
        LoadError: a bad row, with ``on_error`` stop.
        StoreUnavailable: Milvus cannot be reached.
        EmbedderError: the embedder failed.
    """
    # All tables are opened before anything is written: a wrong path must not leave half a catalogue.
    items = read_items(source.items)
    users = read_users(source.users) if source.users else iter(())
    interactions = read_interactions(source.interactions) if source.interactions else iter(())
    writer.prepare(embedder.dimension)
    return _Load(writer, embedder, on_error, progress).run(items, users, interactions)


class _Load:
    """One load under way."""

    def __init__(self, writer: CatalogWriter, embedder: TextEmbedder, on_error: OnError, progress: Progress) -> None:
        self._writer = writer
        self._embedder = embedder
        self._on_error = on_error
        self._progress = progress
        self._report = LoadReport()
        # A store without events gets all of them in this load: they need not be read back.
        self._whole_log = None if writer.count(schema.INTERACTIONS) else EventLog()

    def run(
        self,
        items: Iterator[Item | RowError],
        users: Iterator[User | RowError],
        interactions: Iterator[Interaction | RowError],
    ) -> LoadReport:
        named = self._append_interactions(interactions)
        events = {"events": self._writer.count(schema.INTERACTIONS)}
        stale = self._writer.fact("derived") != events
        known = self._write_items(items, stale)
        self._report.unknown_items = len(named - known)
        items_report = self._report.items
        if stale or items_report.added or items_report.removed:
            self._writer.set_fact("popular", {"ids": self._summary.most_popular(known)})
        if stale or items_report.added or items_report.removed or items_report.changed:
            # Before the users: a bad one may stop the load, and the items are others all the same.
            self._writer.set_fact(schema.REVISION, {"id": uuid.uuid4().hex})
        self._write_users(users, stale)
        if stale:
            self._writer.set_fact("derived", events)
        return self._report

    @cached_property
    def _summary(self) -> EventSummary:
        """Read and computed when something is first made from it; most loads that change nothing never need it."""
        self._progress("vectors", 0)
        log = self._whole_log
        if log is None:
            log = EventLog()
            for row in self._writer.all_rows(schema.INTERACTIONS, schema.INTERACTION_FIELDS):
                log.add(row)
        return log.summary(schema.HISTORY_LENGTH)

    def _append_interactions(self, records: Iterator[Interaction | RowError]) -> frozenset[str]:
        """Store the events that are new; the ids of the items that events name come back."""
        report, named = self._report.interactions, set[str]()
        for batch in _batches(self._good(records, report), INTERACTION_BATCH):
            first = report.read
            report.read += len(batch)
            named.update(event.item_id for event in batch)
            stored = self._writer.stored(schema.INTERACTIONS, [event.id for event in batch], [])
            rows = {
                event.id: interaction_row(event, position)
                for position, event in enumerate(batch, first)
                if event.id not in stored
            }
            if rows:
                self._writer.append(schema.INTERACTIONS, list(rows.values()))
            if self._whole_log is not None:
                for row in rows.values():
                    self._whole_log.add(row)
            report.added += len(rows)
            self._progress("interactions", report.read)
        return frozenset(named)

    def _write_items(self, records: Iterator[Item | RowError], stale: bool) -> frozenset[str]:
        """Write the items that changed (all of them where ``stale``), remove those that are gone; the ids there are."""
        report = self._report.items
        # The vector of a fixed text tells encoders apart, whatever their files are called.
        probe = content_hash(np.round(self._embedder.embed(["a light jacket"])[0], 2).tolist())
        seen: set[str] = set()
        kinds: dict[str, set[FieldKind]] = {}
        for batch in _batches(self._good(records, report), ITEM_BATCH):
            report.read += len(batch)
            seen.update(item.id for item in batch)
            for item in batch:
                for name, value in item.attributes.items():
                    kinds.setdefault(name, set()).add(kind_of(value))
            self._write_item_batch(batch, probe, stale)
            self._progress("items", report.read)
        if not seen:
            raise SourceError("the table of items holds no items; nothing was removed")
        self._remove(schema.ITEMS, seen, report)
        fields = {name: str(next(iter(found))) for name, found in kinds.items() if len(found) == 1}
        if self._writer.fact("fields") != fields:
            self._writer.set_fact("fields", fields)
        return frozenset(seen)

    def _write_item_batch(self, batch: Sequence[Item], probe: str, stale: bool) -> None:
        report = self._report.items
        hashes = {item.id: item_hash(item, probe) for item in batch}
        wanted = ["content_hash", "text"] if stale else ["content_hash"]
        stored = self._writer.stored(schema.ITEMS, list(hashes), wanted)
        changed = [
            item for item in batch if item.id not in stored or stored[item.id]["content_hash"] != hashes[item.id]
        ]
        added = sum(item.id not in stored for item in batch)
        vectors = dict(
            zip(
                (item.id for item in changed),
                self._embedder.embed([item.document for item in changed]) if changed else (),
                strict=True,
            )
        )
        rows = [
            item_row(
                item,
                vectors[item.id] if item.id in vectors else np.asarray(stored[item.id]["text"], np.float32),
                self._summary.vector_of(item.id),
                self._summary.popularity_of(item.id),
                hashes[item.id],
            )
            for item in (batch if stale else changed)
        ]
        if rows:
            self._writer.write(schema.ITEMS, rows)
        report.added += added
        report.changed += len(changed) - added

    def _write_users(self, records: Iterator[User | RowError], stale: bool) -> None:
        """Users of the table, then those whom only events name; users that neither has are removed."""
        report, seen = self._report.users, set[str]()
        for batch in _batches(self._good(records, report), USER_BATCH):
            report.read += len(batch)
            seen.update(user.id for user in batch)
            self._write_user_batch(batch, stale)
            self._progress("users", report.read)
        if stale or self._has_strangers(seen):
            others = (User(user_id) for user_id in self._summary.histories if user_id not in seen)
            for batch in _batches(others, USER_BATCH):
                # A user whose row was bad keeps the traits that are stored.
                kept = self._writer.stored(schema.USERS, [user.id for user in batch], []) if report.bad_rows else {}
                self._write_user_batch([user for user in batch if user.id not in kept], stale)
            self._remove(schema.USERS, seen | self._summary.histories.keys(), report)

    def _has_strangers(self, seen: set[str]) -> bool:
        """Whether a stored user has traits and stands in the table no more."""
        rows = self._writer.all_rows(schema.USERS, ["content_hash"])
        return any(row["id"] not in seen and row["content_hash"] != user_hash(User(row["id"])) for row in rows)

    def _write_user_batch(self, batch: Sequence[User], stale: bool) -> None:
        report = self._report.users
        stored = self._writer.stored(schema.USERS, [user.id for user in batch], ["content_hash", "history"])
        rows = []
        for user in batch:
            row = stored.get(user.id)
            hashed = user_hash(user)
            differs = row is None or row["content_hash"] != hashed
            if not differs and not stale:
                continue
            history = self._summary.histories.get(user.id, ())
            if differs or (row is not None and tuple(row["history"]) != history):
                rows.append(user_row(User(user.id, user.traits, history), hashed))
            report.added += row is None
            report.changed += row is not None and differs
        if rows:
            self._writer.write(schema.USERS, rows)

    def _remove(self, collection: str, keep: set[str], report: TableReport) -> None:
        if report.bad_rows:
            return
        gone = [row["id"] for row in self._writer.all_rows(collection, []) if row["id"] not in keep]
        if gone:
            self._writer.remove(collection, gone)
        report.removed += len(gone)

    def _good(self, records: Iterable[Record | RowError], report: TableReport) -> Iterator[Record]:
        for record in records:
            if not isinstance(record, RowError):
                yield record
                continue
            if self._on_error is OnError.STOP:
                raise LoadError(str(record))
            report.bad_rows += 1
            if len(report.bad) < SHOWN_ERRORS:
                report.bad.append(record)


def _batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
