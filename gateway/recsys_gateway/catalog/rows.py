"""Records as rows of Milvus and back: cut or refused where they would not fit, never left to the server to refuse."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.records import Interaction, Item, Scalar, User

Vector = NDArray[np.float32]
Row = dict[str, Any]


class UnfitRecord(ValueError):
    """A record that the collections cannot hold; the message says which limit it breaks."""


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


def cut(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes at most ``limit`` bytes of UTF-8."""
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def fits_item(item: Item) -> None:
    """Check ``item`` against the limits that cutting cannot help.

    Raises:
        UnfitRecord: an id or category that is too long, too many categories or attributes, a price that is no number.
    """
    _fits_id("id", item.id)
    if item.price is not None and not math.isfinite(item.price):
        raise UnfitRecord(f"price: {item.price} is no finite number")
    if len(item.categories) > schema.CATEGORIES:
        raise UnfitRecord(f"categories: {len(item.categories)}, at most {schema.CATEGORIES} are possible")
    for category in item.categories:
        _fits("categories", category, schema.CATEGORY_BYTES)
    _fits_json("attributes", item.attributes)


def fits_user(user: User) -> None:
    """Check ``user`` as ``fits_item`` does an item."""
    _fits_id("id", user.id)
    _fits_json("traits", user.traits)


def fits_interaction(event: Interaction) -> None:
    """Check ``event`` as ``fits_item`` does an item."""
    for name, value in (("id", event.id), ("user_id", event.user_id), ("item_id", event.item_id), ("type", event.type)):
        _fits_id(name, value)
    for name, number in (("timestamp", event.timestamp), ("value", event.value)):
        if number is not None and not math.isfinite(number):
            raise UnfitRecord(f"{name}: {number} is no finite number")


def item_row(item: Item, text: Vector, collaborative: Vector | None, popularity: float, hashed: str) -> Row:
    """The row of ``items``. A vector that is not finite is refused: Milvus would take it and then find nothing.

    Raises:
        UnfitRecord: see above.
    """
    return {
        "id": item.id,
        "title": cut(item.title, schema.TITLE_BYTES),
        "description": cut(item.description, schema.TEXT_BYTES),
        "categories": list(item.categories),
        "price": item.price,
        "in_stock": item.in_stock,
        "attributes": dict(item.attributes),
        "popularity": popularity,
        "content_hash": hashed,
        "document": cut(item.document, schema.TEXT_BYTES),
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
        raise UnfitRecord(f"{name}: the vector holds numbers that are not finite")
    listed: list[float] = vector.astype(np.float32).tolist()
    return listed


def _fits_id(name: str, value: str) -> None:
    if not value:
        raise UnfitRecord(f"{name}: empty")
    _fits(name, value, schema.ID_BYTES)


def _fits(name: str, value: str, limit: int) -> None:
    if len(value.encode()) > limit:
        raise UnfitRecord(f"{name}: {len(value.encode())} bytes, at most {limit} are possible")


def _fits_json(name: str, values: Mapping[str, Scalar]) -> None:
    size = len(json.dumps(dict(values), ensure_ascii=False).encode())
    if size > schema.JSON_BYTES:
        raise UnfitRecord(f"{name}: {size} bytes of JSON, at most {schema.JSON_BYTES} are possible")
