"""``/v1/items``: what the catalogue holds, one by one and in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from recsys_gateway.api.catalog_access import (
    CHANGE,
    PUT,
    READ,
    REMOVE,
    NewPathId,
    PathId,
    fitting,
    in_time,
    not_found,
    put_answer,
    recommender_of,
)
from recsys_gateway.api.catalog_schema import (
    BatchAnswer,
    ItemBatch,
    ItemBody,
    SimilarAnswer,
    SimilarItem,
    StoredItemAnswer,
)
from recsys_gateway.api.json_body import JsonRoute
from recsys_gateway.catalog.filters import NO_FILTERS
from recsys_gateway.catalog.limits import BadValue, fitting_item
from recsys_gateway.catalog.plain_text import plain
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import StoredItem, Vector
from recsys_gateway.catalog.searching import SearchRequest

router = APIRouter(route_class=JsonRoute, tags=["items"])


@router.get("/v1/items/{id:path}/similar", **READ)
async def similar_items(
    item_id: PathId, request: Request, k: Annotated[int, Query(ge=1, le=100)] = 10
) -> SimilarAnswer:
    """Items in stock whose texts are like this one's."""
    return await in_time(request, _similar(request, item_id, k))


@router.get("/v1/items/{id:path}", **READ)
async def read_item(item_id: PathId, request: Request) -> StoredItemAnswer:
    """An item as the catalogue holds it now."""
    found = await in_time(request, recommender_of(request).store.items([item_id]))
    if item_id not in found:
        raise not_found("item")
    return _answer(found[item_id])


@router.put("/v1/items/{id:path}", **PUT)
async def put_item(item_id: NewPathId, body: ItemBody, request: Request, response: Response) -> BatchAnswer:
    """Add or replace an item. It is durable, and the next request finds it."""
    updates = recommender_of(request).updates
    with fitting():
        item = _item(item_id, body)
    return put_answer(await in_time(request, updates.put_items([item])), response)


@router.post("/v1/items:batch", **CHANGE)
async def put_items(body: ItemBatch, request: Request) -> BatchAnswer:
    """Add or replace up to 1,000 items: all of them, or none where one is wrong."""
    items = []
    for place, each in enumerate(body.items):
        with fitting(f"items.{place}"):
            items.append(_item(each.id, each))
    ids = {item.id for item in items}
    changed = await in_time(request, recommender_of(request).updates.put_items(items))
    created = len(changed.created & ids)
    return BatchAnswer(created=created, updated=len(ids) - created)


@router.delete("/v1/items/{id:path}", **REMOVE)
async def remove_item(item_id: PathId, request: Request) -> None:
    """Remove an item. A load of a table that still holds it does not bring it back; putting it again does."""
    if not await in_time(request, recommender_of(request).updates.remove_item(item_id)):
        raise not_found("item")


async def _similar(request: Request, item_id: str, k: int) -> SimilarAnswer:
    store = recommender_of(request).store
    found = await store.items([item_id])
    if item_id not in found:
        raise not_found("item")
    vector = found[item_id].text
    hits = await store.search(SearchRequest(vector, "", None, NO_FILTERS, k, excluded=[item_id]))
    ranked = await asyncio.to_thread(_by_similarity, vector, [hit.stored for hit in hits])
    return SimilarAnswer(id=item_id, items=ranked[:k])


def _by_similarity(vector: Vector, found: Sequence[StoredItem]) -> list[SimilarItem]:
    items = [
        SimilarItem(
            id=each.item.id,
            title=each.item.title,
            similarity=round(float(each.text @ vector), 6),
            price=each.item.price,
            categories=list(each.item.categories),
        )
        for each in found
    ]
    return sorted(items, key=lambda item: (-item.similarity, item.id))


def _item(item_id: str, body: ItemBody) -> Item:
    """Texts without control characters, within what the collections hold.

    Raises:
        BadValue: a field that does not fit.
    """
    title = plain(body.title)
    if not title:
        raise BadValue("title: nothing is left of it without control characters")
    item = Item(
        id=item_id,
        title=title,
        description=plain(body.description),
        categories=tuple(dict.fromkeys(text for each in body.categories if (text := plain(each)))),
        price=body.price,
        in_stock=body.in_stock,
        attributes={name: plain(value) if isinstance(value, str) else value for name, value in body.attributes.items()},
    )
    return fitting_item(item)


def _answer(stored: StoredItem) -> StoredItemAnswer:
    item = stored.item
    return StoredItemAnswer(
        id=item.id,
        title=item.title,
        description=item.description,
        categories=list(item.categories),
        price=item.price,
        in_stock=item.in_stock,
        attributes=dict(item.attributes),
        popularity=round(stored.popularity, 9),
    )
