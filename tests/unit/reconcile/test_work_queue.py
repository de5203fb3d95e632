"""The queue's rules: nothing is lost, nothing runs twice at once, failures wait longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from recsys_operator.reconcile.work_queue import Backoff, Key, WorkQueue

SHOP, BAKERY = Key("default", "shop"), Key("default", "bakery")


def test_a_marked_key_has_its_turn_when_it_is_due() -> None:
    queue = WorkQueue()
    queue.mark(SHOP, at=5)

    assert queue.take(now=4) is None
    assert queue.next_due() == 5
    assert queue.take(now=5) == SHOP


def test_the_key_that_waited_longest_comes_first() -> None:
    queue = WorkQueue()
    queue.mark(SHOP, at=2)
    queue.mark(BAKERY, at=1)

    assert [queue.take(now=9), queue.take(now=9), queue.take(now=9)] == [BAKERY, SHOP, None]


def test_a_key_that_is_marked_while_it_runs_has_one_more_turn() -> None:
    queue = WorkQueue()
    queue.mark(SHOP, at=0)
    queue.take(now=0)
    queue.mark(SHOP, at=1)
    queue.mark(SHOP, at=1)

    assert queue.take(now=2) is None
    queue.done(SHOP)
    assert queue.take(now=2) == SHOP
    queue.done(SHOP)
    assert queue.take(now=9) is None


def test_a_system_at_rest_is_looked_at_again_but_one_that_is_gone_is_not() -> None:
    queue = WorkQueue()
    for key, again in ((SHOP, 300.0), (BAKERY, None)):
        queue.mark(key, at=0)
        queue.take(now=0)
        queue.done(key, again)

    assert queue.next_due() == 300
    assert len(queue) == 1


def test_failures_wait_longer_each_time_and_success_forgets_them() -> None:
    queue = WorkQueue(Backoff(first=1, longest=4))
    delays, now = [], 0.0
    queue.mark(SHOP, at=0)
    for _ in range(4):
        queue.take(now)
        delays.append(queue.failed(SHOP, now, jitter=0))
        now += delays[-1]
    queue.take(now)
    queue.done(SHOP, again_at=now)
    queue.take(now)

    assert delays == [1, 2, 4, 4]
    assert queue.failed(SHOP, now, jitter=0) == 1


def test_an_event_brings_a_failed_key_forward() -> None:
    queue = WorkQueue()
    queue.mark(SHOP, at=0)
    queue.take(now=0)
    queue.failed(SHOP, now=0, jitter=0)
    queue.mark(SHOP, at=0.1)

    assert queue.take(now=0.1) == SHOP


@given(failures=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_backoff_is_never_endless_and_never_nothing(failures: int, jitter: float) -> None:
    backoff = Backoff(first=0.5, longest=60)
    assert 0.25 < backoff.seconds(failures, jitter) <= 60


keys = st.sampled_from([Key("default", name) for name in "abc"])


class QueueMachine(RuleBasedStateMachine):
    """Any order of events, turns and failures, against a model: what is owed a turn, and who is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue()
        self.now = 0.0
        self.owed: set[Key] = set()
        self.running: set[Key] = set()

    @rule(key=keys, delay=st.floats(0, 10))
    def mark(self, key: Key, delay: float) -> None:
        self.queue.mark(key, self.now + delay)
        self.owed.add(key)

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        key = self.queue.take(self.now)
        if key is not None:
            assert key not in self.running, "two at once"
            assert key in self.owed, "nobody asked for it"
            self.owed.remove(key)
            self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), again=st.none() | st.floats(0, 300))
    def finish(self, data: st.DataObject, again: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.queue.done(key, None if again is None else self.now + again)
        self.running.remove(key)
        if again is not None:
            self.owed.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), jitter=st.floats(0, 1, exclude_max=True))
    def fail(self, data: st.DataObject, jitter: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.queue.failed(key, self.now, jitter)
        self.running.remove(key)
        self.owed.add(key)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.queue) == len(self.owed | self.running)
        assert (self.queue.next_due() is None) == (not self.owed - self.running)

    def teardown(self) -> None:
        for key in self.running:
            self.queue.done(key)
        served = set()
        while (key := self.queue.take(now=1e9)) is not None:
            self.queue.done(key)
            served.add(key)
        assert served == self.owed


TestAnyOrder = QueueMachine.TestCase


def test_done_without_a_turn_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        WorkQueue().done(SHOP)
