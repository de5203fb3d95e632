"""Vectors from co-occurrences, and what follows from all events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.collaborative import item_vectors
from recsys_gateway.catalog.event_summary import EventLog, EventSummary
from recsys_gateway.catalog.user_vectors import RANK, RECENT_ITEMS, user_vector


def vectors_of(*histories: list[int], count: int) -> np.ndarray:
    users = [user for user, history in enumerate(histories) for _ in history]
    items = [item for history in histories for item in history]
    return item_vectors(np.array(users, np.int64), np.array(items, np.int64), count)


def ranked(vectors: np.ndarray, *history: int) -> list[int]:
    sought = user_vector([vectors[item] for item in history])
    assert sought is not None
    return [int(item) for item in np.argsort(-(vectors @ sought), kind="stable")]


def test_what_follows_on_the_history_ranks_first() -> None:
    # Tent then mat, pot then cup; never the one with the other.
    vectors = vectors_of(*[[0, 1]] * 5, *[[2, 3]] * 5, count=4)
    assert ranked(vectors, 0)[0] == 1
    assert ranked(vectors, 2)[0] == 3


def test_the_order_of_purchases_counts() -> None:
    vectors = vectors_of(*[[0, 1, 2]] * 5, count=3)
    # Two leads to nothing, so nothing can be searched for after it.
    assert user_vector([vectors[2]]) is None
    assert ranked(vectors, 1)[0] == 2


def test_recent_items_count_for_more() -> None:
    vectors = vectors_of(*[[0, 1]] * 5, *[[2, 3]] * 5, count=4)
    assert ranked(vectors, 0, 2)[0] == 3
    assert ranked(vectors, 2, 0)[0] == 1


def test_items_without_events_have_no_vector_and_the_rest_are_finite() -> None:
    vectors = vectors_of([0, 1], [3], count=5)
    assert vectors.shape == (5, 2 * RANK)
    assert vectors.dtype == np.float32
    assert [bool(vector.any()) for vector in vectors] == [True, True, False, False, False]
    assert np.isfinite(vectors).all()


def test_no_events_and_no_history_are_no_error() -> None:
    assert not vectors_of(count=3).any()
    assert vectors_of(count=0).shape == (0, 2 * RANK)
    assert user_vector([]) is None


def test_a_users_vector_has_length_one_and_looks_at_the_latest_items() -> None:
    vectors = vectors_of(*[[0, 1]] * 5, *[[2, 3]] * 5, count=4)
    one = user_vector([vectors[0]])
    assert one is not None
    assert np.linalg.norm(one) == pytest.approx(1)
    latest = user_vector([vectors[2], *[vectors[0]] * RECENT_ITEMS])
    np.testing.assert_allclose(latest, one, atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 150)), max_size=300))
def test_equal_events_give_equal_finite_vectors(events: list[tuple[int, int]]) -> None:
    users = np.array([user for user, _ in events], np.int64)
    items = np.array([item for _, item in events], np.int64)
    once, again = item_vectors(users, items, 151), item_vectors(users, items, 151)
    assert np.isfinite(once).all()
    assert np.array_equal(once, again)


def event(user: str, item: str, moment: float, position: int = 0) -> dict[str, object]:
    return {"user_id": user, "item_id": item, "type": "view", "timestamp": moment, "position": position}


def summarise(events: list[dict[str, object]]) -> EventSummary:
    log = EventLog()
    for each in events:
        log.add(each)
    return log.summary()


def test_a_summary_holds_histories_in_time_order_and_popularity() -> None:
    summary = summarise(
        [event("u", "B", 2), event("u", "A", 1), event("v", "B", 5, 9), event("v", "C", 5, 3), event("u", "D", 3)],
    )
    assert [past.item_id for past in summary.history_of("u", 2)] == ["B", "D"]
    assert [past.item_id for past in summary.history_of("v", 9)] == ["C", "B"]
    assert summary.history_of("unknown", 2) == ()
    assert (summary.events_of("B"), summary.events_of("unknown")) == (2, 0)
    assert summary.vector_of("unknown") is None


def test_what_a_customer_dismissed_is_no_history_and_does_not_count() -> None:
    summary = summarise([event("u", "A", 1), {**event("u", "B", 2), "type": "dismiss"}])
    assert [past.item_id for past in summary.history_of("u", 9)] == ["A"]
    assert summary.dismissed == {"u": ("B",)}
    assert summary.events_of("B") == 0


def test_a_summary_of_nothing_is_empty() -> None:
    summary = summarise([])
    assert summary.users == {}
    assert summary.history_of("A", 2) == ()
