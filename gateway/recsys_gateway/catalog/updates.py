"""Changes to the catalogue while it is being served: items, users, events. One at a time, each whole when it returns.

What an order of writes is cut short at is made good by sending it again: every change is keyed, and sets what it says
instead of adding to it. Events are written first and what follows from them after, so that an event that is known may
still be missing in a history, and is put there when it comes again.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.changes import Changed
from recsys_gateway.catalog.filters import FieldKind, kind_of, literal
from recsys_gateway.catalog.histories import EventType, PastEvent, also_dismissed, merged, past_events
from recsys_gateway.catalog.limits import BadValue
from recsys_gateway.catalog.migration import TextEmbedder
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.rows import (
    Row,
    collaborative_of,
    document_hash,
    interaction_row,
    item_row,
    statistics_row,
    tombstone,
    user_row,
)
from recsys_gateway.catalog.writing import PAGE, CatalogWriter

ERASE_SECONDS = 300.0
"""All events of a customer are looked for: Milvus Lite reads every one that it has."""


class OtherKind(BadValue):
    """An attribute that holds something else than in the rest of the catalogue: filters could not work on it."""


class CatalogUpdates:
    """Writes with ``writer``, whose collections are prepared. Every method raises StoreUnavailable."""

    def __init__(self, writer: CatalogWriter, embedder: TextEmbedder) -> None:
        self._writer = writer
        self._embedder = embedder

    def put_items(self, items: Sequence[Item]) -> Changed:
        """Add or replace items; a text that has not changed is not embedded again.

        Raises:
            OtherKind: an attribute of an item; nothing was written.
        """
        latest = {item.id: item for item in items}
        self._note_fields(latest.values())
        known = self._writer.stored(schema.ITEMS, list(latest), self._item_fields())
        fresh = [
            item
            for item in latest.values()
            if item.id not in known or known[item.id]["document_hash"] != document_hash(item)
        ]
        vectors = dict(
            zip(
                (item.id for item in fresh),
                self._embedder.embed([item.document for item in fresh]) if fresh else (),
                strict=True,
            )
        )
        rows = []
        for item_id, item in latest.items():
            row = known.get(item_id, {"source_hash": ""})
            text = vectors[item_id] if item_id in vectors else np.asarray(row["text"], np.float32)
            rows.append(item_row(item, text, collaborative_of(row), row["source_hash"], self._writer.features))
        self._writer.write(schema.ITEMS, rows)
        self._bring_back("item", latest)
        self._items_changed()
        return Changed(frozenset(latest.keys() - known.keys()))

    def remove_item(self, item_id: str) -> bool:
        """Whether it was there. A table that still holds it does not bring it back; ``put_items`` does."""
        if not self._writer.stored(schema.ITEMS, [item_id], []):
            return False
        self._bury("item", item_id)
        self._writer.remove(schema.ITEMS, [item_id])
        self._items_changed()
        return True

    def put_users(self, users: Sequence[User]) -> Changed:
        """Set the traits of users; their histories stay."""
        latest = {user.id: user for user in users}
        known = self._writer.stored(schema.USERS, list(latest), ["history", "dismissed", "source_hash"])
        rows = []
        for user_id, user in latest.items():
            row = known.get(user_id, _NEW_USER)
            traits = User(user_id, user.traits, dismissed=tuple(row["dismissed"]))
            rows.append(user_row(traits, past_events(row["history"]), row["source_hash"]))
        self._writer.write(schema.USERS, rows)
        return Changed(frozenset(latest.keys() - known.keys()))

    def erase_user(self, user_id: str) -> Changed | None:
        """Remove a user with all events; None: there was nothing. A table that still holds them brings nothing back."""
        counts: Counter[str] = Counter()
        found = bool(self._writer.stored(schema.USERS, [user_id], []))
        expression = f"user_id == {literal(user_id)}"
        while True:
            fields = ["id", "item_id", "type"]
            events = self._writer.query(schema.INTERACTIONS, expression, fields, limit=PAGE, timeout=ERASE_SECONDS)
            if not events and not found:
                return None
            if not found or not counts:
                self._bury("user", user_id)
            found = True
            if events:
                counts.update(event["item_id"] for event in events if event["type"] != EventType.DISMISS)
                self._writer.remove(schema.INTERACTIONS, [event["id"] for event in events])
            if len(events) < PAGE:
                break
        changes = {item_id: -count for item_id, count in counts.items()}
        self._count(changes)
        # What follows from all events together was made from these, too: the next load makes it anew.
        self._writer.set_fact("derived", {})
        self._writer.remove(schema.USERS, [user_id])
        return Changed(counts=changes)

    def add_events(self, events: Sequence[Interaction], position: int) -> Changed:
        """Store events that are new; ``position`` orders those of one moment. ``created`` are the ids that were new."""
        first: dict[str, Interaction] = {}
        for event in events:
            first.setdefault(event.id, event)
        known = self._writer.stored(schema.INTERACTIONS, list(first), schema.INTERACTION_FIELDS)
        new = [
            interaction_row(event, position + number, self._writer.features)
            for number, event in enumerate(first.values())
            if event.id not in known
        ]
        if new:
            # On a server another gateway may write the same event now: only an upsert leaves one of both.
            (self._writer.append if self._writer.features.lite else self._writer.write)(schema.INTERACTIONS, new)
        self._follow([*known.values(), *new])
        counts = Counter(row["item_id"] for row in new if row["type"] != EventType.DISMISS)
        self._count(counts)
        return Changed(frozenset(row["id"] for row in new), counts)

    def _follow(self, events: Iterable[Row]) -> None:
        """Put ``events`` into the histories of their users."""
        by_user: dict[str, list[Row]] = {}
        for event in events:
            by_user.setdefault(event["user_id"], []).append(event)
        fields = ["traits", "history", "dismissed", "source_hash"]
        known = self._writer.stored(schema.USERS, list(by_user), fields)
        rows = []
        for user_id, theirs in by_user.items():
            row = known.get(user_id)
            made = _with_events(user_id, row or _NEW_USER, theirs)
            if row is None or row["history"] != made["history"] or row["dismissed"] != made["dismissed"]:
                rows.append(made)
        if rows:
            self._writer.write(schema.USERS, rows)

    def _count(self, changes: Mapping[str, int]) -> None:
        if not changes:
            return
        known = self._writer.stored(schema.STATISTICS, list(changes), ["events"])
        rows = [
            statistics_row(item_id, max(0, change + (known[item_id]["events"] if item_id in known else 0)))
            for item_id, change in changes.items()
        ]
        self._writer.write(schema.STATISTICS, rows)

    def _note_fields(self, items: Iterable[Item]) -> None:
        """Make the attributes of ``items`` known to filters."""
        fields = dict(self._writer.fact("fields"))
        before = dict(fields)
        for item in items:
            for name, value in item.attributes.items():
                kind = kind_of(value)
                if FieldKind(fields.setdefault(name, kind.value)) is not kind:
                    raise OtherKind(f"attributes.{name[:80]}: holds {fields[name]} in this catalogue, not {kind}")
        if fields != before:
            self._writer.set_fact("fields", fields)

    def _items_changed(self) -> None:
        self._writer.set_fact(schema.REVISION, {"id": uuid.uuid4().hex})

    def _bury(self, kind: str, key: str) -> None:
        self._writer.write(schema.TOMBSTONES, [{"id": tombstone(kind, key), "unused": list(schema.UNUSED)}])

    def _bring_back(self, kind: str, keys: Iterable[str]) -> None:
        buried = self._writer.stored(schema.TOMBSTONES, [tombstone(kind, key) for key in keys], [])
        if buried:
            self._writer.remove(schema.TOMBSTONES, list(buried))

    def _item_fields(self) -> list[str]:
        fields = ["source_hash", "document_hash", "text"]
        return [*fields, "collaborative"] if self._writer.features.several_vectors else fields


_NEW_USER: Row = {"traits": {}, "history": [], "dismissed": [], "source_hash": ""}


def _with_events(user_id: str, row: Row, events: Sequence[Row]) -> Row:
    """The user's row with ``events``."""
    taken = [event for event in events if event["type"] != EventType.DISMISS]
    refused = [event["item_id"] for event in events if event["type"] == EventType.DISMISS]
    history = merged(
        past_events(row["history"]),
        (PastEvent(event["timestamp"], event["position"], event["item_id"]) for event in taken),
    )
    dismissed = also_dismissed(row["dismissed"], refused)
    return user_row(User(user_id, row["traits"], dismissed=dismissed), history, row["source_hash"])
