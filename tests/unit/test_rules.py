"""What the business asks of a list: pins come first, caps hold whatever is chosen, what is forbidden stays out."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.filters import ITEM_FIELDS, FieldKind, parse_filters
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.diversify import diversify
from recsys_gateway.recommend.rules import Rules, apply
from recsys_gateway.recommend.stages import VerifiedItem

VECTOR = np.ones(2, np.float32)
FIELDS = {**ITEM_FIELDS, "brand": FieldKind.TEXT}


def verified(item_id: str, *categories: str, score: float = 1.0) -> VerifiedItem:
    return VerifiedItem(Item(item_id, item_id, categories=categories), score, ("text",), VECTOR)


def stored(item_id: str, *, in_stock: bool = True) -> StoredItem:
    return StoredItem(Item(item_id, item_id, in_stock=in_stock), VECTOR, None, 0.0)


def test_pins_come_first_in_their_order_and_what_cannot_be_pinned_is_told() -> None:
    known = {"P": stored("P"), "A": stored("A"), "gone": stored("gone", in_stock=False)}
    ruled = apply(Rules(pin=("P", "gone", "A", "never", "P")), [verified("B"), verified("A")], known, size=3)
    assert [each.item.id for each in ruled.pinned] == ["P", "A"]
    assert ruled.pinned[1].confirmed_by == ("pinned", "text")
    assert [each.item.id for each in ruled.free] == ["B"]
    assert ruled.not_pinned == {"gone": "out_of_stock", "never": "unknown"}
    slate = diversify(ruled.free, 1, 0.7, first=ruled.pinned)
    assert [each.item.id for each in slate.items] == ["P", "A", "B"]
    assert slate.ild.cosine < 1e-6


@given(st.lists(st.sets(st.sampled_from("XYZ"), max_size=2), max_size=12), st.integers(1, 3))
def test_no_category_has_more_than_its_cap_whatever_is_chosen(rows: list[set[str]], cap: int) -> None:
    items = [verified(str(number), *sorted(categories)) for number, categories in enumerate(rows)]
    ruled = apply(Rules(category_cap=cap), items, {}, size=10)
    held = Counter(category for each in ruled.free for category in each.item.categories)
    assert all(count <= cap for count in held.values())
    assert len(ruled.free) + len(ruled.capped) == len(items)


def test_what_is_forbidden_is_told_to_the_store_where_every_item_has_the_field() -> None:
    filters = parse_filters({"categories": "Hats", "brand": "Nord", "price": {"lt": 5}}, FIELDS).negated()
    assert filters.expression() == 'not (array_contains(categories, "Hats"))'
    assert filters.matches(Item("A", "A"))
    assert not filters.matches(Item("A", "A", categories=("Hats",)))
    assert not filters.matches(Item("A", "A", attributes={"brand": "Nord"}))
    both = parse_filters({"in_stock": True}, FIELDS) & filters
    assert both.expression() == '(in_stock == true) and not (array_contains(categories, "Hats"))'
