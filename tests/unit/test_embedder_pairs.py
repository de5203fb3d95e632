"""What the embedder learns from: queries that their item answers, and scraps of titles that nobody knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_finetune.embedder.pairs import korean_wish, lexical_pair, load_korean, scrap, shop_ask, typing_error
from recsys_finetune.embedder.quality import made_up_films
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.products import make_products
from recsys_finetune.shop.queries import satisfies
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.subword_hashing import SubwordHashing

ITEMS = [product.item for product in make_products(load_assortment(), np.random.default_rng(1), per_kind=1)]
SEEDS = st.integers(0, 2**32)
HASHING = SubwordHashing(buckets=16_384)


@given(SEEDS, st.sampled_from(ITEMS))
def test_an_item_answers_what_is_asked_for_it(seed: int, item: Item) -> None:
    ask = shop_ask(item, np.random.default_rng(seed))
    assert ask.text.strip()
    assert ask.wish is None or satisfies(ask.item, ask.wish)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.attributes["kind"])
def test_every_kind_can_be_asked_for_in_korean(item: Item) -> None:
    wish = korean_wish(item, np.random.default_rng(0))
    assert satisfies(item, wish)
    assert any("가" <= letter <= "힣" for letter in wish.text)


def test_the_korean_words_cover_the_shop() -> None:
    korean, kinds = load_korean(), [kind for _, kind in load_assortment().kinds()]
    assert set(korean.kinds) == {kind.name.lower() for kind in kinds}
    assert set(korean.features) >= {feature for kind in kinds for feature in kind.features}
    assert set(korean.uses) >= {use for kind in kinds for use in kind.uses}


@given(SEEDS)
def test_a_scrap_shares_buckets_with_its_document(seed: int) -> None:
    text, document = lexical_pair(["garden", "night"], np.random.default_rng(seed))
    empty = set(HASHING.ids(""))
    assert text == text.lower()
    assert set(HASHING.ids(text)) & set(HASHING.ids(document)) - empty or len(text) < 6


@given(SEEDS, st.text(alphabet="abcdefg", min_size=2, max_size=12))
def test_a_typing_error_is_a_small_one(seed: int, word: str) -> None:
    wrong = typing_error(word, np.random.default_rng(seed))
    assert abs(len(wrong) - len(word)) <= 1
    assert set(wrong) <= set(word)


def test_a_scrap_never_comes_out_empty() -> None:
    assert all(scrap(["one"], np.random.default_rng(seed)) for seed in range(50))


def test_made_up_films_all_differ() -> None:
    names = [title.rsplit(" (", 1)[0] for title in made_up_films(1_600, np.random.default_rng(0))]
    assert len(set(names)) == 1_600
