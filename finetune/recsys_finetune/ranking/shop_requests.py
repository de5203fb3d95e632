"""Requests for the sample shop, in the words of its customers (``recsys_finetune.shop.queries``). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from recsys_gateway.catalog.records import Item

from recsys_finetune.ranking.requests import CatalogueRequests, Request, RequestWriter
from recsys_finetune.shop.queries import Phrasing, Wish, make_wish, satisfies

PLAIN_SHARE = 0.15
RIGHT_KIND = 0.5


def shop_requests(items: Sequence[Item]) -> RequestWriter:
    """Mostly wishes in the phrasings to train on, some plain words of the catalogue."""
    plain = CatalogueRequests.of(items)

    def write(row: int, rng: np.random.Generator) -> Request:
        if rng.random() < PLAIN_SHARE:
            return plain.write(row, rng)
        wish = make_wish(items[row], Phrasing.TRAIN, rng)
        return Request(wish.text, np.array([relevance(item, wish) for item in items], dtype=np.float32))

    return write


def relevance(item: Item, wish: Wish) -> float:
    """1 where the item has all that is asked for, half where it is at least of the kind that was named."""
    if satisfies(item, wish):
        return 1.0
    return RIGHT_KIND if wish.kinds and item.attributes.get("kind") in wish.kinds else 0.0
