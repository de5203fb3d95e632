"""The bodies of the routes that read and change the catalogue."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from recsys_gateway.api.schema import Flag, Id, Number, Strict
from recsys_gateway.catalog.filters import MAX_NUMBER
from recsys_gateway.catalog.histories import EventType
from recsys_gateway.catalog.limits import CATEGORIES, TEXT_BYTES, TITLE_BYTES

BATCH_ITEMS = 1_000
BATCH_EVENTS = 1_000
ATTRIBUTES = 256

_ITEM_EXAMPLE: dict[str, JsonValue] = {
    "title": "Ridgeline Raven Rain Jacket",
    "description": "Two and a half layers, taped seams.",
    "categories": ["Jackets", "Hiking"],
    "price": 49.95,
    "in_stock": True,
    "attributes": {"brand": "Ridgeline", "weight_g": 240},
}
_EVENT_EXAMPLE: dict[str, JsonValue] = {
    "id": "order-4711-1",
    "user_id": "17",
    "item_id": "JKT-010",
    "type": "purchase",
    "timestamp": 1_711_000_000,
}


def _without_control_characters(key: str) -> str:
    if not key.isprintable() or key != key.strip():
        raise ValueError("an id holds no control characters, and no blanks around it")
    return key


NewId = Annotated[Id, AfterValidator(_without_control_characters)]
"""An id that may be written. What is read may be called anything: it is not found."""
_Text = Annotated[str, StringConstraints(strict=True)]
_Bounded = Annotated[Number, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
_Whole = Annotated[int, Field(strict=True, ge=-MAX_NUMBER, le=MAX_NUMBER)]
Scalar = Flag | _Whole | _Bounded | Annotated[_Text, Field(max_length=TEXT_BYTES)]
Scalars = dict[Annotated[str, StringConstraints(min_length=1, max_length=256)], Scalar]


class ItemBody(Strict):
    """What an item is. Whatever else there is to know goes into ``attributes``, which filters may use."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_ITEM_EXAMPLE]})

    title: Annotated[str, StringConstraints(min_length=1, max_length=TITLE_BYTES)]
    description: str = Field(default="", max_length=TEXT_BYTES)
    categories: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] = Field(
        default_factory=list, max_length=CATEGORIES
    )
    price: Annotated[Number | None, Field(ge=0, le=MAX_NUMBER)] = None
    in_stock: Flag = True
    attributes: Scalars = Field(default_factory=dict, max_length=ATTRIBUTES)


class KeyedItem(ItemBody):
    """An item of a batch."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"id": "JKT-010", **_ITEM_EXAMPLE}]}
    )

    id: NewId


class ItemBatch(Strict):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"items": [{"id": "JKT-010", **_ITEM_EXAMPLE}]}]},
    )

    items: list[KeyedItem] = Field(min_length=1, max_length=BATCH_ITEMS, description="Of one id the last one counts.")


class BatchAnswer(BaseModel):
    created: int
    updated: int


class StoredItemAnswer(BaseModel):
    """An item as the catalogue holds it. ``popularity`` is its part of all events."""

    id: str
    title: str
    description: str
    categories: list[str]
    price: float | None
    in_stock: bool
    attributes: dict[str, str | int | float | bool]
    popularity: float


class SimilarItem(BaseModel):
    id: str
    title: str
    similarity: float = Field(description="Cosine of the texts' vectors.")
    price: float | None
    categories: list[str]


class SimilarAnswer(BaseModel):
    id: str
    items: list[SimilarItem]


class UserBody(Strict):
    """What is known of a customer; which traits may enter a prompt is configured (recommendation.promptTraits)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"traits": {"age": 34, "region": "coast"}}]}
    )

    traits: Scalars = Field(default_factory=dict, max_length=ATTRIBUTES)


class UserAnswer(BaseModel):
    id: str
    traits: dict[str, str | int | float | bool]
    history: list[str] = Field(description="Items of the latest 100 events, oldest first.")
    dismissed: list[str] = Field(description="Items that are not shown to this customer.")


class EventBody(Strict):
    """What a customer did. An event that comes again, by its id, counts once."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [_EVENT_EXAMPLE]})

    id: NewId
    user_id: NewId
    item_id: NewId
    type: EventType = Field(description="`dismiss`: not this; the item is not shown to this customer again.")
    value: _Bounded | None = Field(default=None, description="Such as the stars of a rating.")
    timestamp: Annotated[Number | None, Field(ge=0, le=MAX_NUMBER)] = Field(
        default=None, description="Seconds since 1970; absent: now."
    )


class EventBatch(Strict):
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"events": [_EVENT_EXAMPLE]}]}
    )

    events: list[EventBody] = Field(min_length=1, max_length=BATCH_EVENTS)


class EventsAnswer(BaseModel):
    accepted: int = Field(description="Events that are new; they are durable.")
    duplicates: int = Field(description="Events that were known by their id; nothing changed.")
