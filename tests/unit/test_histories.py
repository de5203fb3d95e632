"""A history is a set of events in the order of time: however they come, and however often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.event_counts import EventCounts
from recsys_gateway.catalog.histories import PastEvent, also_dismissed, merged, past_events

EVENTS = st.builds(PastEvent, st.floats(0, 9), st.integers(0, 3), st.sampled_from("ABC"))


@given(st.lists(EVENTS), st.randoms())
def test_events_that_come_in_any_order_and_again_give_one_history(events: list[PastEvent], order: object) -> None:
    shuffled = list(events)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    one_by_one: tuple[PastEvent, ...] = ()
    for event in (*shuffled, *events):
        one_by_one = merged(one_by_one, [event])
    assert one_by_one == merged((), events)
    assert list(one_by_one) == sorted(set(events))


def test_the_latest_are_kept() -> None:
    assert [past.item_id for past in merged((), (PastEvent(n, 0, str(n)) for n in range(5)), length=2)] == ["3", "4"]


def test_a_history_of_the_first_schema_version_keeps_its_order_and_comes_first() -> None:
    old = past_events(["B", "A"])
    assert [past.item_id for past in merged(old, [PastEvent(1.0, 0, "C")])] == ["B", "A", "C"]
    assert past_events(event.listed() for event in old) == old


def test_what_was_dismissed_stays_once() -> None:
    assert also_dismissed(["A"], ["B", "A"]) == ("A", "B")


@given(
    st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 5)),
    st.lists(st.dictionaries(st.sampled_from("ABCD"), st.integers(0, 3))),
)
def test_counts_that_are_noted_equal_counts_that_are_read(start: dict[str, int], changes: list[dict[str, int]]) -> None:
    counts, total = EventCounts(start), dict(start)
    for change in changes:
        counts.note(change)
        for item, number in change.items():
            total[item] = total.get(item, 0) + number
    again = EventCounts(total)
    assert counts.most(10) == again.most(10)
    assert [counts.share(item) for item in "ABCD"] == [again.share(item) for item in "ABCD"]


def test_counts_go_down_when_events_are_erased() -> None:
    counts = EventCounts({"A": 3, "B": 1})
    counts.note({"A": -3})
    assert counts.most(9) == ["B"]
    assert (counts.share("A"), counts.share("B")) == (0, 1)
