"""What a catalogue is made of: items, users, interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Item:
    """Something that can be recommended. ``attributes`` holds whatever else the source knows (brand, year, …)."""

    id: str
    title: str
    description: str = ""
    categories: tuple[str, ...] = ()
    price: float | None = None
    in_stock: bool = True
    attributes: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """All of the item's text: what is embedded, searched by keywords, and what a plain prompt would carry."""
        parts = [self.title, ", ".join(self.categories), self.description]
        parts += [f"{name}: {value}" for name, value in self.attributes.items()]
        return ". ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class User:
    """A customer. ``history`` holds item ids, oldest first (the store keeps the latest ones only).

    ``dismissed`` are items that the customer does not want to see.
    """

    id: str
    traits: Mapping[str, Scalar] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    dismissed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interaction:
    """One event. ``id`` makes it idempotent; ``timestamp`` is in seconds since the epoch, or any rising number."""

    id: str
    user_id: str
    item_id: str
    type: str = "purchase"
    value: float | None = None
    timestamp: float = 0.0
