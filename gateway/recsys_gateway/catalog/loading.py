"""Load a catalogue: what is new or changed is written, what is gone is removed, and a second load writes nothing.

The order is: interactions (append-only), what follows from all of them (vectors, counts, histories), items, users,
facts about the whole. A load that is cut short is made good by the next one, which skips what is stored: the fact
``derived``, which says of how many events the rows know, is written last.

What the API did stays. A row that the table has not changed since it was last loaded is left as the API left it; what
the API added is not removed; what it removed does not come back (``tombstones``).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.batches import batched
from recsys_gateway.catalog.event_summary import EventLog, EventSummary
from recsys_gateway.catalog.filters import FieldKind, kind_of
from recsys_gateway.catalog.histories import HISTORY_LENGTH
from recsys_gateway.catalog.importers.reading import read_interactions, read_items, read_users
from recsys_gateway.catalog.importers.row_error import RowError
from recsys_gateway.catalog.load_config import OnError
from recsys_gateway.catalog.migration import TextEmbedder, encoder_fact, prepare
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.rows import (
    Row,
    collaborative_of,
    document_hash,
    interaction_row,
    item_hash,
    item_of,
    item_row,
    statistics_row,
    tombstone,
    user_hash,
    user_row,
)
from recsys_gateway.catalog.source import CatalogSource, SourceError
from recsys_gateway.catalog.writing import CatalogWriter

ITEM_BATCH = 1_000
USER_BATCH = 1_000
INTERACTION_BATCH = 5_000
STATISTICS_BATCH = 5_000
SHOWN_ERRORS = 20

Record = TypeVar("Record")
Progress = Callable[[str, int], None]
"""Called with what is being done (``interactions``, ``vectors``, ``items``, ``users``) and how many rows are done."""


class LoadError(Exception):
    """A bad row stopped the load; the message is its file, line and reason. What was acknowledged stays."""


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
        NewerSchema: a later recsys has written the store.
        StoreUnavailable: Milvus cannot be reached.
        EmbedderError: the embedder failed.
    """
    # All tables are opened before anything is written: a wrong path must not leave half a catalogue.
    items = read_items(source.items)
    users = read_users(source.users) if source.users else iter(())
    interactions = read_interactions(source.interactions) if source.interactions else iter(())
    prepare(writer, embedder)
    return _Load(writer, embedder, on_error, progress).run(items, users, interactions)


class _Load:
    """One load under way."""

    def __init__(self, writer: CatalogWriter, embedder: TextEmbedder, on_error: OnError, progress: Progress) -> None:
        self._writer = writer
        self._embedder = embedder
        self._on_error = on_error
        self._progress = progress
        self._report = LoadReport()
        self._stale = False
        self._tombstones = {row["id"] for row in writer.all_rows(schema.TOMBSTONES, [])}
        # A store without events gets all of them in this load: they need not be read back.
        self._whole_log = None if writer.count(schema.INTERACTIONS) else EventLog()
        self._encoder = encoder_fact(embedder)
        self._same_encoder = writer.fact("encoder") == self._encoder

    def run(
        self,
        items: Iterator[Item | RowError],
        users: Iterator[User | RowError],
        interactions: Iterator[Interaction | RowError],
    ) -> LoadReport:
        named = self._append_interactions(interactions)
        events = {"events": self._writer.count(schema.INTERACTIONS)}
        self._stale = stale = self._writer.fact("derived") != events
        known = self._write_items(items)
        self._report.unknown_items = len(named - known)
        items_report = self._report.items
        if stale:
            self._write_statistics()
        if stale or items_report.added or items_report.removed or items_report.changed:
            # Before the users: a bad one may stop the load, and the items are others all the same.
            self._writer.set_fact(schema.REVISION, {"id": uuid.uuid4().hex})
        self._write_users(users)
        if not self._same_encoder:
            self._writer.set_fact("encoder", self._encoder)
        if stale:
            self._writer.set_fact("derived", events)
        if self._report.changes:
            self._writer.flush()
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
        return log.summary()

    def _removed(self, kind: str, key: str) -> bool:
        """Whether the API has removed it: then the table does not bring it back."""
        return bool(self._tombstones) and tombstone(kind, key) in self._tombstones

    def _append_interactions(self, records: Iterator[Interaction | RowError]) -> frozenset[str]:
        """Store the events that are new; the ids of the items that events name come back."""
        report, named = self._report.interactions, set[str]()
        for batch in batched(self._good(records, report), INTERACTION_BATCH):
            first = report.read
            report.read += len(batch)
            named.update(event.item_id for event in batch)
            stored = self._writer.stored(schema.INTERACTIONS, [event.id for event in batch], [])
            rows = {
                event.id: interaction_row(event, position, self._writer.features)
                for position, event in enumerate(batch, first)
                if event.id not in stored and not self._removed("user", event.user_id)
            }
            if rows:
                self._writer.append(schema.INTERACTIONS, list(rows.values()))
            if self._whole_log is not None:
                for row in rows.values():
                    self._whole_log.add(row)
            report.added += len(rows)
            self._progress("interactions", report.read)
        return frozenset(named)

    def _write_items(self, records: Iterator[Item | RowError]) -> frozenset[str]:
        """Write the items that changed (all where events are new), remove those that are gone; the ids there are."""
        report = self._report.items
        seen: set[str] = set()
        kinds: dict[str, set[FieldKind]] = {}
        for batch in batched(self._good(records, report), ITEM_BATCH):
            report.read += len(batch)
            seen.update(item.id for item in batch)
            _note_kinds(kinds, batch)
            self._write_item_batch([item for item in batch if not self._removed("item", item.id)])
            self._progress("items", report.read)
        if not seen:
            raise SourceError("the table of items holds no items; nothing was removed")
        others = self._others(schema.ITEMS, seen, report)
        for ids in batched(others, ITEM_BATCH):
            stored = self._writer.stored(schema.ITEMS, ids, ["*"])
            _note_kinds(kinds, [item_of(row) for row in stored.values()])
            if self._stale or not self._same_encoder:
                self._rewrite(list(stored.values()), {})
        fields = {name: str(next(iter(found))) for name, found in kinds.items() if len(found) == 1}
        if self._writer.fact("fields") != fields:
            self._writer.set_fact("fields", fields)
        return frozenset(seen).union(others)

    def _write_item_batch(self, batch: Sequence[Item]) -> None:
        report = self._report.items
        hashes = {item.id: item_hash(item) for item in batch}
        stored = self._writer.stored(schema.ITEMS, list(hashes), ["source_hash"])
        changed = {
            item.id: item
            for item in batch
            if item.id not in stored or stored[item.id]["source_hash"] != hashes[item.id]
        }
        everything = self._stale or not self._same_encoder
        touched = list(hashes) if everything else list(changed)
        known = self._writer.stored(schema.ITEMS, [each for each in touched if each in stored], ["*"])
        self._rewrite(list(known.values()), changed)
        self._rewrite([], {item_id: item for item_id, item in changed.items() if item_id not in known})
        added = sum(item_id not in stored for item_id in changed)
        report.added += added
        report.changed += len(touched if not self._same_encoder else changed) - added

    def _rewrite(self, stored: Sequence[Row], changed: Mapping[str, Item]) -> None:
        """Write ``stored`` rows with what ``changed`` says of them, or, without rows, ``changed`` as new items.

        A text that is the same, for the same encoder, keeps its vector.
        """
        rows = {row["id"]: row for row in stored}
        items = {item_id: changed.get(item_id) or item_of(row) for item_id, row in rows.items()} or dict(changed)
        if not items:
            return
        kept = {
            item_id: np.asarray(row["text"], np.float32)
            for item_id, row in rows.items()
            if self._same_encoder and row["document_hash"] == document_hash(items[item_id])
        }
        new = [item for item_id, item in items.items() if item_id not in kept]
        vectors = dict(zip([item.id for item in new], self._embedder.embed([i.document for i in new]), strict=True))
        written = [
            item_row(
                item,
                kept[item_id] if item_id in kept else vectors[item_id],
                collaborative_of(rows[item_id])
                if item_id in rows and not self._stale
                else self._summary.vector_of(item_id),
                item_hash(item) if item_id in changed else rows[item_id]["source_hash"],
                self._writer.features,
            )
            for item_id, item in items.items()
        ]
        self._writer.write(schema.ITEMS, written)

    def _write_statistics(self) -> None:
        """How many events each item has; an item without any has no row."""
        summary = self._summary
        for ids in batched(summary.items, STATISTICS_BATCH):
            rows = [statistics_row(item_id, summary.events_of(item_id)) for item_id in ids]
            self._writer.write(schema.STATISTICS, rows)
        gone = [row["id"] for row in self._writer.all_rows(schema.STATISTICS, []) if row["id"] not in summary.items]
        if gone:
            self._writer.remove(schema.STATISTICS, gone)

    def _write_users(self, records: Iterator[User | RowError]) -> None:
        """Users of the table, then those whom only events or the API name; others are removed."""
        report, seen = self._report.users, set[str]()
        for batch in batched(self._good(records, report), USER_BATCH):
            report.read += len(batch)
            seen.update(user.id for user in batch)
            self._write_user_batch([user for user in batch if not self._removed("user", user.id)])
            self._progress("users", report.read)
        if self._stale or self._has_strangers(seen):
            for ids in batched((user_id for user_id in self._summary.users if user_id not in seen), USER_BATCH):
                # A user whose row was bad keeps the traits that are stored, and one of the API those that it gave.
                kept = self._writer.stored(schema.USERS, ids, ["traits", "source_hash"])
                others = [
                    User(user_id, row["traits"] if (row := kept.get(user_id)) and self._keeps(row) else {})
                    for user_id in ids
                ]
                self._write_user_batch(others, of_table=False)
            self._others(schema.USERS, seen | self._summary.users.keys(), report)

    def _keeps(self, row: Row) -> bool:
        return not row["source_hash"] or bool(self._report.users.bad_rows)

    def _has_strangers(self, seen: set[str]) -> bool:
        """Whether a stored user came from the table and stands there no more."""
        rows = self._writer.all_rows(schema.USERS, ["source_hash"])
        return any(row["id"] not in seen and row["source_hash"] for row in rows)

    def _write_user_batch(self, batch: Sequence[User], *, of_table: bool = True) -> None:
        report = self._report.users
        fields = ["traits", "source_hash", "history", "dismissed"]
        stored = self._writer.stored(schema.USERS, [user.id for user in batch], fields)
        rows = []
        for user in batch:
            row = stored.get(user.id)
            hashed = user_hash(user) if of_table else (row["source_hash"] if row and self._keeps(row) else "")
            differs = row is None or row["source_hash"] != hashed
            if not differs and not self._stale:
                continue
            traits = row["traits"] if row and not differs else user.traits
            history = self._summary.history_of(user.id, HISTORY_LENGTH)
            dismissed = self._summary.dismissed.get(user.id, ())
            made = user_row(User(user.id, traits, dismissed=dismissed), history, hashed)
            if differs or (row is not None and any(row[name] != made[name] for name in ("history", "dismissed"))):
                rows.append(made)
            report.added += row is None
            report.changed += row is not None and differs
        if rows:
            self._writer.write(schema.USERS, rows)

    def _others(self, collection: str, keep: Set[str], report: TableReport) -> list[str]:
        """Remove what came from the table and stands there no more; the ids of what only the API gave."""
        rows = [row for row in self._writer.all_rows(collection, ["source_hash"]) if row["id"] not in keep]
        gone = [] if report.bad_rows else [row["id"] for row in rows if row["source_hash"]]
        if gone:
            self._writer.remove(collection, gone)
        report.removed += len(gone)
        return [row["id"] for row in rows if not row["source_hash"] or report.bad_rows]

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


def _note_kinds(kinds: dict[str, set[FieldKind]], items: Iterable[Item]) -> None:
    """What the attributes of ``items`` hold."""
    for item in items:
        for name, value in item.attributes.items():
            kinds.setdefault(name, set()).add(kind_of(value))
