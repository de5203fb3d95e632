"""Leave one out: ties in file order, the core of five, and nothing learnt from what is asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from recsys_finetune.evaluation.protocol import (
    Case,
    Event,
    Split,
    k_core,
    leave_one_out,
    sequences,
    training_histories,
)

EVENTS = st.lists(st.builds(Event, st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 5)), max_size=60)


def test_events_of_one_timestamp_keep_the_order_of_the_file():
    events = [Event("u", "b", 2), Event("u", "z", 1), Event("u", "a", 2), Event("u", "c", 2)]
    assert sequences(events) == {"u": ["z", "b", "a", "c"]}


def test_the_last_is_the_test_and_the_one_before_it_the_validation():
    histories = {"u": ["a", "b", "c"], "v": ["a", "b"], "w": ["a"]}
    assert leave_one_out(histories, Split.TEST) == [Case("u", ("a", "b"), "c"), Case("v", ("a",), "b")]
    assert leave_one_out(histories, Split.VALIDATION) == [Case("u", ("a",), "b")]
    assert training_histories(histories) == {"u": ("a",), "v": (), "w": ()}


def test_the_core_falls_until_it_is_stable():
    """Without u, item b has too few; without b, v has too few."""
    events = [Event("u", "b", 0), Event("v", "b", 1), Event("v", "a", 2), Event("w", "a", 3), Event("w", "a", 4)]
    assert k_core(events, 2) == [Event("w", "a", 3), Event("w", "a", 4)]


@given(EVENTS, st.integers(1, 6))
def test_in_a_core_everyone_has_enough(events, core):
    kept = k_core(events, core)
    for name in ("user", "item"):
        values = [getattr(event, name) for event in kept]
        assert all(values.count(value) >= core for value in values)


@given(EVENTS)
def test_the_target_is_never_in_what_is_learnt_from(events):
    histories = sequences(events)
    known = training_histories(histories)
    for split, back in ((Split.TEST, 1), (Split.VALIDATION, 2)):
        for case in leave_one_out(histories, split):
            assert [*case.history, case.target] == histories[case.user][: len(case.history) + 1]
            assert len(known[case.user]) == len(case.history) + back - 2 or len(histories[case.user]) < 2
