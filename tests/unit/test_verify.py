"""Verification: what the tuned model said against what the store holds and the request allows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, Filters, parse_filters
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.stages import (
    Arm,
    Candidate,
    Query,
    Ranking,
    Rejection,
    Retrieval,
    Sampling,
    Scored,
    Signals,
    Usage,
)
from recsys_gateway.recommend.verify import verify

VECTOR = np.array([1, 0], np.float32)


def stored(item_id: str, *, price: float = 10, in_stock: bool = True) -> StoredItem:
    return StoredItem(Item(item_id, item_id, price=price, in_stock=in_stock), VECTOR, None, 0.0)


def candidate(item_id: str, text: float = 0.5) -> Candidate:
    return Candidate(Item(item_id, item_id, price=10), 0.1, {Arm.TEXT: text}, VECTOR)


def query(filters: Filters = NO_FILTERS) -> Query:
    return Query("tent", None, 5, RankingMode.TOOL_CALL, Sampling(), 0.7, None, None, True, True, filters)


def ranked(*ids: str, nameless: Iterable[str] = ()) -> Ranking:
    return Ranking(tuple(Scored(item_id, 1.0) for item_id in ids), Usage(), frozenset(nameless))


def check(said: list[str], shop: list[StoredItem], found: list[Candidate], **more: object) -> tuple[list[str], dict]:
    retrieval = Retrieval(tuple(found), None, (), Signals(), frozenset(more.get("seen", ())))
    filters = more.get("filters", NO_FILTERS)
    verified = verify(ranked(*said), {each.item.id: each for each in shop}, retrieval, query(filters), pool=10)
    return [item.item.id for item in verified.items], dict(verified.rejected)


def test_unknown_ids_are_dropped_and_the_gap_is_filled_from_retrieval() -> None:
    ids, rejected = check(["a", "ghost"], [stored("a")], [candidate("b"), candidate("a")])
    assert ids == ["a", "b"]
    assert rejected == {Rejection.UNKNOWN: 1}


def test_doubled_ids_are_kept_once() -> None:
    ids, rejected = check(["a", "a", "b", "a"], [stored("a"), stored("b")], [])
    assert ids == ["a", "b"]
    assert rejected == {Rejection.DUPLICATE: 2}


def test_out_of_stock_filtered_and_seen_are_dropped_and_counted() -> None:
    filters = parse_filters({"price": {"lte": 20}}, ITEM_FIELDS)
    shop = [stored("gone", in_stock=False), stored("dear", price=99), stored("old"), stored("good")]
    ids, rejected = check(["gone", "dear", "old", "good"], shop, [], filters=filters, seen=["old"])
    assert ids == ["good"]
    assert rejected == {Rejection.OUT_OF_STOCK: 1, Rejection.FILTERED: 1, Rejection.SEEN: 1}


def scores(said: list[str], found: list[str]) -> dict[str, float]:
    retrieval = Retrieval(tuple(map(candidate, found)), None, ())
    shop = {item_id: stored(item_id) for item_id in (*said, *found)}
    return {each.item.id: each.score for each in verify(ranked(*said), shop, retrieval, query(), pool=10).items}


def test_what_both_found_is_strengthened() -> None:
    assert scores(["a", "b"], ["b", "c"]) == {
        "b": pytest.approx(0.4 * 0.5 + 0.6 * 1.0),  # second of two with the tuned model, first of two candidates
        "a": pytest.approx(0.4 * 1.0),
        "c": pytest.approx(0.6 * 0.5),
    }
    assert list(scores(["a", "b"], ["b", "c"])) == ["b", "a", "c"]


def test_an_arm_confirms_where_its_evidence_is_at_least_the_mean() -> None:
    retrieval = Retrieval((candidate("strong", 0.9), candidate("weak", 0.1)), None, ())
    shop = {item_id: stored(item_id) for item_id in ("weak", "strong")}
    items = verify(ranked("strong", "weak"), shop, retrieval, query(), pool=10).items
    confirmed = [(item.item.id, item.confirmed_by) for item in items]
    assert confirmed == [("strong", ("tuned", "text")), ("weak", ("tuned",))]


def test_without_a_list_the_order_of_retrieval_stands() -> None:
    ids, rejected = check([], [], [candidate("b"), candidate("a"), candidate("c")])
    assert ids == ["b", "a", "c"]
    assert rejected == {}


IDS = st.lists(st.sampled_from("abcdefgh"), max_size=12)


@given(said=IDS, held=st.sets(st.sampled_from("abcdef")), found=st.lists(st.sampled_from("abcdef"), unique=True))
def test_only_held_or_found_items_and_each_once(said: list[str], held: set[str], found: list[str]) -> None:
    retrieval = Retrieval(tuple(map(candidate, found)), None, ())
    verified = verify(ranked(*said), {each: stored(each) for each in held}, retrieval, query(), pool=20)
    ids = [item.item.id for item in verified.items]
    assert len(ids) == len(set(ids))
    assert set(ids) == (set(said) & held) | set(found)
    tuned = sum("tuned" in item.confirmed_by for item in verified.items)
    assert sum(verified.rejected.values()) == len(said) - tuned


def test_where_something_was_asked_for_history_alone_only_fills_gaps() -> None:
    jackets = [
        Candidate(Item(f"jacket{n}", "jacket"), 0.1, {Arm.TEXT: 0.9, Arm.HISTORY: 0.0}, VECTOR) for n in range(4)
    ]
    lamps = [Candidate(Item(f"lamp{n}", "lamp"), 0.1, {Arm.TEXT: 0.0, Arm.HISTORY: 0.9}, VECTOR) for n in range(4)]
    ids, _ = check([], [], [*lamps, *jackets])
    assert sorted(ids) == ["jacket0", "jacket1", "jacket2", "jacket3", "lamp0"]


def test_where_nothing_was_asked_for_history_is_reason_enough() -> None:
    lamps = [Candidate(Item(f"lamp{n}", "lamp"), 0.1, {Arm.HISTORY: 0.9 - n / 10}, VECTOR) for n in range(8)]
    ids, _ = check([], [], lamps)
    assert len(ids) == 8


def test_what_the_model_could_not_name_is_judged_by_retrieval_alone() -> None:
    """A product that is new has no token: at the top of retrieval it stands at the top of the list."""
    found = [candidate("new"), candidate("old"), candidate("other")]
    retrieval = Retrieval(tuple(found), None, (), Signals(), frozenset())
    shop = {each: stored(each) for each in ("old", "other")}
    verified = verify(ranked("other", "old", nameless=["new"]), shop, retrieval, query(), pool=10)
    assert next((each.item.id, each.score) for each in verified.items) == ("new", 1.0)
    named = verify(ranked("other", "old"), shop, retrieval, query(), pool=10)
    assert {each.item.id: each.score for each in named.items}["new"] == pytest.approx(0.6)
