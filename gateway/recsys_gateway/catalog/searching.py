"""What is asked of the catalogue in one search, and what it finds. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from recsys_gateway.catalog.filters import Filters
from recsys_gateway.catalog.rows import StoredItem, Vector


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """What one hybrid search looks for. An arm whose input is None or empty is not searched.

    Items with the ids ``excluded`` are not found.
    """

    text: Vector | None
    keywords: str
    user_vector: Vector | None
    filters: Filters
    limit: int
    excluded: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """An item that was found. ``score`` is the fused one (RRF), higher is better."""

    stored: StoredItem
    score: float
