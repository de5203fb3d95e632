"""Records as rows of Milvus and back: cut or refused where they would not fit, never left to the server to refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.engine_features import ALL_FEATURES, EngineFeatures
from recsys_gateway.catalog.histories import PastEvent, past_events
from recsys_gateway.catalog.limits import TEXT_BYTES, TITLE_BYTES, BadValue, cut
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Interaction, Item, User

Vector = NDArray[np.float32]
Row = dict[str, Any]
_JSON_LISTS = frozenset({"history", "dismissed"})


@dataclass(frozen=True, slots=True, eq=False)
class StoredItem:
    """An item as the store holds it.

    ``text`` has length 1. ``collaborative`` is None for an item without events. ``popularity`` is its share of all
    events, 0 to 1.
    """

    item: Item
    text: Vector
    collaborative: Vector | None
    popularity: float


def content_hash(content: object) -> str:
    """SHA-256 of ``content`` as JSON: what tells a changed record from one that is stored already."""
    encoded = json.dumps(content, sort_keys=True, ensure_ascii=False, default=list).encode("utf-8", "surrogatepass")
    return hashlib.sha256(encoded).hexdigest()


def user_hash(user: User) -> str:
    """Of what the source says of a user; the history is not in it."""
    return content_hash([user.id, dict(user.traits)])


def item_hash(item: Item) -> str:
    """Of what a source says of an item."""
    return content_hash(
        [item.id, item.title, item.description, item.categories, item.price, item.in_stock, dict(item.attributes)]
    )


def document_hash(item: Item) -> str:
    """Of what is embedded: an item whose price alone changed keeps its vector."""
    return content_hash(item.document)


def tombstone(kind: str, key: str) -> str:
    """The key that says that ``key`` was removed through the API; a digest tells nothing of whom it was."""
    return f"{kind}:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def item_row(
    item: Item,
    text: Vector,
    collaborative: Vector | None,
    source_hash: str,
    features: EngineFeatures = ALL_FEATURES,
) -> Row:
    """The row of ``items``; texts that are too long are cut.

    Raises:
        BadValue: a vector that is not finite: Milvus would take it, and then find nothing.
    """
    row = {
        "id": item.id,
        "title": cut(item.title, TITLE_BYTES),
        "description": cut(item.description, TEXT_BYTES),
        "categories": list(item.categories),
        "price": item.price if item.price is not None or features.nullable else schema.NO_NUMBER,
        "in_stock": item.in_stock,
        "attributes": dict(item.attributes),
        "source_hash": source_hash,
        "document_hash": document_hash(item),
        "document": cut(item.document, TEXT_BYTES),
        "text": _listed("text", text),
    }
    if features.several_vectors:
        zeros = np.zeros(schema.COLLABORATIVE_DIMENSION, np.float32)
        row["collaborative"] = _listed("collaborative", zeros if collaborative is None else collaborative)
    return row


def item_of(row: Mapping[str, Any]) -> Item:
    """The item of a row; titles of a catalogue that an older importer wrote may hold what must not be shown."""
    price = row["price"]
    return Item(
        id=row["id"],
        title=plain(row["title"]),
        description=plain(row["description"]),
        categories=tuple(plain(category) for category in row["categories"]),
        price=None if price is None or price == schema.NO_NUMBER else price,
        in_stock=row["in_stock"],
        attributes=row["attributes"],
    )


def collaborative_of(row: Mapping[str, Any]) -> Vector | None:
    """None for an item without events, and on a Milvus that keeps one vector a row."""
    vector = np.asarray(row.get("collaborative", ()), np.float32)
    return vector if vector.any() else None


def stored_item(row: Mapping[str, Any], popularity: float = 0.0) -> StoredItem:
    return StoredItem(item_of(row), np.asarray(row["text"], np.float32), collaborative_of(row), popularity)


def user_row(user: User, history: Sequence[PastEvent], source_hash: str) -> Row:
    """``history`` in the order of time."""
    return {
        "id": user.id,
        "traits": dict(user.traits),
        "history": [event.listed() for event in history],
        "dismissed": list(user.dismissed),
        "source_hash": source_hash,
        "unused": list(schema.UNUSED),
    }


def stored_user(row: Mapping[str, Any]) -> User:
    history = tuple(event.item_id for event in past_events(row["history"]))
    return User(id=row["id"], traits=row["traits"], history=history, dismissed=tuple(row["dismissed"]))


def without_lists(row: Row) -> Row:
    """``row`` with its lists of JSON fields in objects: a Milvus server may take nothing else (2.3 does not)."""
    return {name: {"list": value} if name in _JSON_LISTS else value for name, value in row.items()}


def with_lists(row: Row) -> Row:
    """As it was before ``without_lists``."""
    return {
        name: value["list"] if name in _JSON_LISTS and isinstance(value, Mapping) else value
        for name, value in row.items()
    }


def statistics_row(item_id: str, events: int) -> Row:
    return {"id": item_id, "events": events, "unused": list(schema.UNUSED)}


def interaction_row(event: Interaction, position: int, features: EngineFeatures = ALL_FEATURES) -> Row:
    """``position`` orders events of one timestamp."""
    return {
        "id": event.id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "type": event.type,
        "value": event.value if event.value is not None or features.nullable else schema.NO_NUMBER,
        "timestamp": event.timestamp,
        "position": position,
        "unused": list(schema.UNUSED),
    }


def _listed(name: str, vector: Vector) -> list[float]:
    if not np.isfinite(vector).all():
        raise BadValue(f"{name}: the vector holds numbers that are not finite")
    listed: list[float] = vector.astype(np.float32).tolist()
    return listed
