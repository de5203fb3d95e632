"""Diversification by maximal marginal relevance, and intra-list diversity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.diversify import cosine_ild, diversify, genre_ild, likeness, mmr, unit_rows
from recsys_gateway.recommend.stages import VerifiedItem


def item(item_id: str, score: float, vector: list[float], *categories: str) -> VerifiedItem:
    return VerifiedItem(Item(item_id, item_id, categories=categories), score, (), np.array(vector, np.float32))


TWINS = [item("a", 1.0, [1, 0]), item("b", 0.9, [1, 0]), item("c", 0.5, [0, 1])]


def ids(items: list[VerifiedItem], size: int, mmr_lambda: float, target: float | None = None) -> list[str]:
    return [each.item.id for each in diversify(items, size, mmr_lambda, target).items]


def test_relevance_alone_keeps_the_order() -> None:
    assert ids(TWINS, 3, 1.0) == ["a", "b", "c"]


def test_a_twin_gives_way_to_something_else() -> None:
    assert ids(TWINS, 2, 0.5) == ["a", "c"]


def test_nothing_gives_an_empty_slate_without_diversity() -> None:
    slate = diversify([], 5, 0.7)
    assert (slate.items, slate.ild.cosine, slate.ild.genre) == ((), 0.0, 0.0)


def test_ild_by_hand() -> None:
    rows = unit_rows([np.array(row, np.float32) for row in ([1, 0], [0, 2], [3, 3])])
    expected = np.mean([1 - 0, 1 - 2**-0.5, 1 - 2**-0.5])
    assert cosine_ild(rows @ rows.T, [0, 1, 2]) == pytest.approx(expected, abs=1e-6)
    assert genre_ild([["x", "y"], ["y", "z"], []]) == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert genre_ild([[], []]) == 0
    assert genre_ild([["x"]]) == 0


def test_a_target_is_met_more_closely_than_by_the_default() -> None:
    generator = np.random.default_rng(7)
    items = [item(f"{n:02}", 1 - n / 40, list(generator.normal(loc=[2, 0, 0, 0]))) for n in range(40)]
    for target in (0.3, 0.6, 0.9):
        got = diversify(items, 10, 0.7, target).ild.cosine
        reachable = [diversify(items, 10, step / 20).ild.cosine for step in range(21)]
        assert abs(got - target) <= min(abs(each - target) for each in reachable) + 1e-6


VECTORS = st.lists(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), min_size=1, max_size=12)


@settings(deadline=None)
@given(vectors=VECTORS, mmr_lambda=st.floats(0, 1), size=st.integers(1, 15))
def test_mmr_takes_distinct_items_and_each_step_is_the_best_one(
    vectors: list[list[float]], mmr_lambda: float, size: int
) -> None:
    rows = unit_rows([np.array(vector, np.float32) for vector in vectors])
    similarity = rows @ rows.T
    relevance = np.linspace(1, 0, len(vectors), dtype=np.float32)
    chosen = mmr(relevance, similarity, size, mmr_lambda)
    assert len(chosen) == len(set(chosen)) == min(size, len(vectors))
    assert chosen == mmr(relevance, similarity, size, mmr_lambda)
    for step in range(1, len(chosen)):
        before, rest = chosen[:step], [each for each in range(len(vectors)) if each not in chosen[:step]]
        value = {
            each: mmr_lambda * relevance[each] - (1 - mmr_lambda) * similarity[each, before].max() for each in rest
        }
        assert value[chosen[step]] == pytest.approx(max(value.values()), abs=1e-5)


@given(st.lists(st.lists(st.sampled_from("vwxyz"), unique=True), min_size=2, max_size=8))
def test_genre_ild_is_the_mean_jaccard_distance(categories: list[list[str]]) -> None:
    distances = []
    for index, one in enumerate(categories):
        for other in categories[index + 1 :]:
            union = set(one) | set(other)
            distances.append(1 - len(set(one) & set(other)) / len(union) if union else 0)
    assert genre_ild(categories) == pytest.approx(np.mean(distances))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 10), st.integers(2, 5))
def test_a_target_that_some_list_has_is_reached(seed: int, size: int, dimension: int) -> None:
    """The target is the diversity of a list that somebody could have chosen."""
    generator = np.random.default_rng(seed)
    items = [
        item(f"{n:02}", float(generator.random()), list(generator.normal(loc=0.7, size=dimension))) for n in range(30)
    ]
    vectors = unit_rows([each.vector for each in items])
    target = cosine_ild(vectors @ vectors.T, [int(n) for n in generator.choice(30, size, replace=False)])
    slate = diversify(items, size, 0.5, target)
    assert abs(slate.ild.cosine - target) <= 0.02
    assert len({each.item.id for each in slate.items}) == size


def test_shared_categories_make_items_alike() -> None:
    """The same distance in text: of two that are as relevant the one of another genre is chosen."""
    first = item("a", 1.0, [1, 0, 0], "Drama")
    same = item("b", 0.5, [0, 1, 0], "Drama")
    other = item("c", 0.5, [0, 0, 1], "Comedy")
    assert ids([first, same, other], 2, 0.5) == ["a", "c"]


def test_without_categories_the_text_alone_counts() -> None:
    cosines = np.array([[1, 0.4], [0.4, 1]], np.float32)
    assert likeness(cosines, [["Drama"], []])[0, 1] == pytest.approx(0.4)
    assert likeness(cosines, [[], []])[0, 1] == pytest.approx(0.4)
    assert likeness(cosines, [["Drama"], ["Drama", "War"]])[0, 1] == pytest.approx((0.4 + 0.5) / 2)
