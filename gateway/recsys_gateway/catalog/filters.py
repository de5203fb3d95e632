"""Filters of a request, as a Milvus expression and as a predicate on an item."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_gateway.catalog.records import Item


@dataclass(frozen=True, slots=True)
class Filters:
    """A conjunction of conditions on an item's fields."""

    def matches(self, item: Item) -> bool:
        """Whether ``item`` passes every condition."""
        return bool(item.id)


NO_FILTERS = Filters()
