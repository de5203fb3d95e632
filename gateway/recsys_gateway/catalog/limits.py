"""What the collections can hold, and records checked against it before anything is written. Pure.

Limits are in bytes of UTF-8, as Milvus counts (Milvus Lite counts characters).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from recsys_gateway.catalog.records import Interaction, Item, Scalar, User

ID_BYTES = 256
TITLE_BYTES = 1_024
TEXT_BYTES = 65_535
CATEGORY_BYTES = 256
CATEGORIES = 64
JSON_BYTES = 65_536


class BadValue(ValueError):
    """A value that a field cannot hold; the message names the field and what is wrong."""


def cut(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes at most ``limit`` bytes of UTF-8."""
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def fitting_item(item: Item) -> Item:
    """``item``, if the collections can hold it. Long texts are cut when they are written; the rest must fit.

    Raises:
        BadValue: an id or category that is too long, too many categories or attributes.
    """
    _check_bytes("id", item.id, ID_BYTES)
    if len(item.categories) > CATEGORIES:
        raise BadValue(f"categories: {len(item.categories)}, at most {CATEGORIES} are possible")
    for category in item.categories:
        _check_bytes("categories", category, CATEGORY_BYTES)
    _check_json("attributes", item.attributes)
    return item


def fitting_user(user: User) -> User:
    """``user``, if the collections can hold it; raises as ``fitting_item``."""
    _check_bytes("id", user.id, ID_BYTES)
    _check_json("traits", user.traits)
    return user


def fitting_interaction(event: Interaction) -> Interaction:
    """``event``, if the collections can hold it; raises as ``fitting_item``."""
    for name, value in (("id", event.id), ("user_id", event.user_id), ("item_id", event.item_id), ("type", event.type)):
        _check_bytes(name, value, ID_BYTES)
    if not math.isfinite(event.timestamp):
        raise BadValue(f"timestamp: {event.timestamp} is no finite number")
    return event


def _check_bytes(name: str, value: str, limit: int) -> None:
    size = len(value.encode())
    if size > limit:
        raise BadValue(f"{name}: {size} bytes, at most {limit} are possible")


def _check_json(name: str, values: Mapping[str, Scalar]) -> None:
    size = len(json.dumps(dict(values), ensure_ascii=False).encode())
    if size > JSON_BYTES:
        raise BadValue(f"{name}: {size} bytes of JSON, at most {JSON_BYTES} are possible")
