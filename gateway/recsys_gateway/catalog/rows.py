"""Records as rows of Milvus and back: cut or refused where they would not fit, never left to the server to refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.limits import TEXT_BYTES, TITLE_BYTES, BadValue, cut
from recsys_gateway.catalog.records import Interaction, Item, User

Vector = NDArray[np.float32]
Row = dict[str, Any]


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


def item_hash(item: Item, embedder: str) -> str:
    """``embedder`` names the encoder: with another one the item's vector is another."""
    return content_hash(
        [
            item.id,
            item.title,
            item.description,
            item.categories,
            item.price,
            item.in_stock,
            dict(item.attributes),
            embedder,
        ]
    )


def item_row(item: Item, text: Vector, collaborative: Vector | None, popularity: float, hashed: str) -> Row:
    """The row of ``items``; texts that are too long are cut.

    Raises:
        BadValue: a vector that is not finite: Milvus would take it, and then find nothing.
    """
    return {
        "id": item.id,
        "title": cut(item.title, TITLE_BYTES),
        "description": cut(item.description, TEXT_BYTES),
        "categories": list(item.categories),
        "price": item.price,
        "in_stock": item.in_stock,
        "attributes": dict(item.attributes),
        "popularity": popularity,
        "content_hash": hashed,
        "document": cut(item.document, TEXT_BYTES),
        "text": _listed("text", text),
        "collaborative": [0.0] * schema.COLLABORATIVE_DIMENSION
        if collaborative is None
        else _listed("collaborative", collaborative),
    }


def stored_item(row: Mapping[str, Any]) -> StoredItem:
    collaborative = np.asarray(row["collaborative"], np.float32)
    return StoredItem(
        item=Item(
            id=row["id"],
            title=row["title"],
            description=row["description"],
            categories=tuple(row["categories"]),
            price=row["price"],
            in_stock=row["in_stock"],
            attributes=row["attributes"],
        ),
        text=np.asarray(row["text"], np.float32),
        collaborative=collaborative if collaborative.any() else None,
        popularity=row["popularity"],
    )


def user_row(user: User, hashed: str) -> Row:
    return {
        "id": user.id,
        "traits": dict(user.traits),
        "history": list(user.history[-schema.HISTORY_LENGTH :]),
        "content_hash": hashed,
        "unused": list(schema.UNUSED),
    }


def stored_user(row: Mapping[str, Any]) -> User:
    return User(id=row["id"], traits=row["traits"], history=tuple(row["history"]))


def interaction_row(event: Interaction, position: int) -> Row:
    """``position`` orders events of one timestamp."""
    return {
        "id": event.id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "type": event.type,
        "value": event.value,
        "timestamp": event.timestamp,
        "position": position,
        "unused": list(schema.UNUSED),
    }


def _listed(name: str, vector: Vector) -> list[float]:
    if not np.isfinite(vector).all():
        raise BadValue(f"{name}: the vector holds numbers that are not finite")
    listed: list[float] = vector.astype(np.float32).tolist()
    return listed
