"""Queries for the sample shop: answerable by their item, in phrasings that are kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.products import make_products
from recsys_finetune.shop.queries import Phrasing, Wish, held_out_products, load_language, make_wish, satisfies

ITEMS = [product.item for product in make_products(load_assortment(), np.random.default_rng(5))]


@given(st.sampled_from(ITEMS), st.sampled_from(Phrasing), st.integers(0, 10_000))
def test_the_item_satisfies_the_wish_that_was_made_from_it(item, phrasing, seed):
    wish = make_wish(item, phrasing, np.random.default_rng(seed))
    assert wish.item_id == item.id
    assert satisfies(item, wish)
    assert "{" not in wish.text
    assert "None" not in wish.text
    assert "  " not in wish.text


def test_a_wish_narrows_the_catalogue():
    rng = np.random.default_rng(0)
    shares = []
    for item in ITEMS:
        wish = make_wish(item, Phrasing.TRAIN, rng)
        shares.append(sum(satisfies(other, wish) for other in ITEMS) / len(ITEMS))
    assert max(shares) < 0.5
    assert np.median(shares) < 0.02


def test_the_same_generator_says_the_same():
    first, second = (make_wish(ITEMS[0], Phrasing.TRAIN, np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_a_light_jacket_for_rainy_hikes_can_be_answered():
    wish = Wish(
        text="a light jacket for rainy hikes",
        item_id="",
        kinds=frozenset({"shell jacket", "rain jacket"}),
        features=frozenset({"lightweight", "waterproof"}),
        use="hiking",
    )
    assert [item.id for item in ITEMS if satisfies(item, wish)][:1] == ["JKT-001"]


def test_a_price_is_a_limit():
    item = ITEMS[0]
    assert item.price is not None
    assert satisfies(item, Wish("", "", below=item.price + 1))
    assert not satisfies(item, Wish("", "", below=item.price))


def test_phrasings_to_train_on_and_held_out_ones_are_apart():
    language = load_language()
    assert not set(language.train) & set(language.held_out)
    assert len(language.held_out) >= 8


def test_every_word_of_the_assortment_can_be_spoken_of():
    language, assortment = load_language(), load_assortment()
    for _, kind in assortment.kinds():
        assert kind.name.lower() in language.kinds
        assert set(kind.features) <= set(language.features)
        assert set(kind.uses) <= set(language.uses)


def test_about_a_tenth_of_the_products_is_held_out_whatever_the_order():
    chosen = held_out_products(ITEMS)
    assert 0.05 < len(chosen) / len(ITEMS) < 0.16
    assert held_out_products(reversed(ITEMS)) == chosen
    assert held_out_products(ITEMS[:50]) <= chosen


def test_an_item_of_another_shop_is_refused():
    from recsys_gateway.catalog.records import Item

    with pytest.raises(KeyError, match="feature"):
        make_wish(Item(id="1", title="Toy Story"), Phrasing.TRAIN, np.random.default_rng(0))
