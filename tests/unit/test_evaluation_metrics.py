"""Metrics against values worked out by hand, and the bounds that always hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_finetune.evaluation.metrics import (
    coverage,
    gini,
    mrr_at,
    ndcg_at,
    novelty,
    out_of_catalogue,
    rank_of,
    recall_at,
)

ITEMS = "abcdef"
LISTS = st.lists(st.lists(st.sampled_from(ITEMS), max_size=6), max_size=8)


def test_rank_counts_from_one_among_distinct_items():
    assert rank_of("c", ["a", "a", "b", "c"]) == 3
    assert rank_of("z", ["a"]) is None


@pytest.mark.parametrize(
    ("rank", "recall", "ndcg", "mrr"),
    [(1, 1, 1, 1), (3, 1, 0.5, 1 / 3), (10, 1, 1 / math.log2(11), 0.1), (11, 0, 0, 0), (None, 0, 0, 0)],
)
def test_one_relevant_item_at_ten(rank, recall, ndcg, mrr):
    assert recall_at(rank, 10) == recall
    assert ndcg_at(rank, 10) == pytest.approx(ndcg)
    assert mrr_at(rank, 10) == pytest.approx(mrr)


def test_coverage_counts_items_of_the_catalogue_within_k():
    assert coverage([["a", "b", "c"], ["a", "z"]], set("abcd"), 2) == 0.5


def test_gini_is_zero_when_all_are_shown_alike_and_high_when_one_gets_all():
    assert gini([["a", "b"], ["c", "d"]], set("abcd"), 2) == 0
    assert gini([["a"], ["a"]], set("abcd"), 1) == pytest.approx(0.75)


def test_novelty_is_self_information():
    assert novelty([["a", "b"]], {"a": 4, "b": 1}, 7, 10) == pytest.approx((1 + 3) / 2)


def test_what_nobody_had_is_as_novel_as_what_one_had():
    assert novelty([["z"]], {}, 7, 10) == pytest.approx(3)


def test_out_of_catalogue_is_a_share_of_what_was_named():
    assert out_of_catalogue([["a", "x"], ["b", "c"]], set("abc")) == 0.25
    assert out_of_catalogue([], set("abc")) == 0


@given(LISTS, st.integers(1, 6))
def test_shares_stay_between_zero_and_one(lists, k):
    catalogue = set(ITEMS)
    assert 0 <= coverage(lists, catalogue, k) <= 1
    assert -1e-12 <= gini(lists, catalogue, k) < 1
    assert out_of_catalogue(lists, catalogue) == 0


@given(st.integers(1, 40), st.integers(1, 20))
def test_a_better_rank_never_scores_less(rank, k):
    for metric in (recall_at, ndcg_at, mrr_at):
        assert metric(rank, k) >= metric(rank + 1, k)
