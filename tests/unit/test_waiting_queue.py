"""Which of the calls that wait goes next, and which may not wait at all."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.serving.admission.outcomes import HTTP, Outcome
from recsys_gateway.serving.admission.retry_budget import RESERVE, RetryBudget
from recsys_gateway.serving.admission.waiting_queue import Priority, Waiting, WaitingQueue

FLOORS = {Priority.NORMAL: 0.2, Priority.LOW: 0.05}
NEVER_NEWEST = 1e9


def queue(places: int = 100, tenant_share: float = 1.0) -> WaitingQueue[str]:
    return WaitingQueue(places, tenant_share, FLOORS)


def call(name: str, tenant: str = "a", priority: Priority = Priority.NORMAL, deadline: float = 10) -> Waiting[str]:
    return Waiting(name, tenant, priority, deadline, seconds=deadline)


def served(waiting: WaitingQueue[str], count: int, newest_after: float = NEVER_NEWEST) -> list[str]:
    names = []
    for _ in range(count):
        head = waiting.peek(newest_after)
        assert head is not None
        waiting.take(head)
        names.append(head.payload)
    return names


def test_oldest_first() -> None:
    waiting = queue()
    for name in "abc":
        waiting.push(call(name))
    assert served(waiting, 3) == ["a", "b", "c"]


def test_newest_first_while_too_many_wait_and_oldest_first_again_after() -> None:
    waiting = queue()
    for name in "abcd":
        waiting.push(call(name))
    assert served(waiting, 4, newest_after=0.2) == ["d", "c", "a", "b"]  # two of them are served in a share of 10 s


def test_tenants_take_turns() -> None:
    waiting = queue()
    for n in range(3):
        waiting.push(call(f"a{n}", "a"))
    waiting.push(call("b0", "b"))
    assert served(waiting, 4) == ["a0", "b0", "a1", "a2"]


def test_a_lower_priority_keeps_its_floor() -> None:
    waiting = queue(2000)
    for n in range(400):
        waiting.push(call(str(n), priority=Priority.HIGH))
        waiting.push(call(str(n), priority=Priority.NORMAL))
        waiting.push(call(str(n), priority=Priority.LOW))
    seen: Counter[Priority] = Counter()
    for _ in range(400):
        head = waiting.peek(NEVER_NEWEST)
        assert head is not None
        waiting.take(head)
        seen[head.priority] += 1
    assert seen[Priority.HIGH] > 280
    assert seen[Priority.NORMAL] >= 0.15 * 400
    assert seen[Priority.LOW] >= 0.04 * 400


def test_a_full_queue_makes_room_for_a_tenant_that_has_less() -> None:
    waiting = queue(places=4)
    for n in range(4):
        waiting.push(call(f"a{n}", "a"))
    refusal, evicted = waiting.push(call("b0", "b"))
    assert refusal is None
    assert evicted is not None
    assert evicted.payload == "a0"
    assert waiting.push(call("a4", "a")) == (Outcome.QUEUE_FULL, None)


def test_a_tenant_may_not_fill_the_queue() -> None:
    waiting = queue(places=4, tenant_share=0.5)
    results = [waiting.push(call(str(n)))[0] for n in range(3)]
    assert results == [None, None, Outcome.TENANT_FULL]


def test_what_is_over_time_leaves() -> None:
    waiting = queue()
    waiting.push(call("late", deadline=1))
    waiting.push(call("later", deadline=2))
    assert waiting.next_deadline() == 1
    assert [each.payload for each in waiting.expire(1.5)] == ["late"]
    assert (waiting.next_deadline(), len(waiting)) == (2, 1)


CALLS = st.tuples(st.sampled_from("abc"), st.sampled_from(Priority), st.floats(0, 10))


@given(st.lists(st.one_of(CALLS, st.sampled_from(["take", "remove"]), st.floats(0, 10)), max_size=80))
def test_each_call_leaves_once_and_the_bound_holds(operations: list[object]) -> None:
    waiting, inside = queue(places=7, tenant_share=0.5), []
    for number, operation in enumerate(operations):
        match operation:
            case (tenant, priority, deadline):
                new = call(str(number), tenant, priority, deadline)
                refusal, evicted = waiting.push(new)
                if refusal is None:
                    inside.append(new)
                if evicted is not None:
                    inside.remove(evicted)
            case "take":
                head = waiting.peek(NEVER_NEWEST)
                assert (head is None) == (not inside)
                if head is not None:
                    waiting.take(head)
                    inside.remove(head)
            case "remove" if inside:
                assert waiting.remove(inside[0])
                assert not waiting.remove(inside.pop(0))
            case float(now):
                gone = waiting.expire(now)
                assert all(each.deadline <= now for each in gone)
                inside = [each for each in inside if each not in gone]
                assert all(each.deadline > now for each in inside)
        assert len(waiting) == len(inside) <= 7


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60))
def test_no_tenant_starves(tenants: list[str]) -> None:
    """Whoever has a call waits for at most one call of each other tenant before its next one."""
    waiting = queue(places=100)
    for number, tenant in enumerate(tenants):
        waiting.push(call(str(number), tenant))
    order, left = [], Counter(tenants)
    while head := waiting.peek(NEVER_NEWEST):
        waiting.take(head)
        order.append(head.tenant)
    for position, tenant in enumerate(order):
        left[tenant] -= 1
        if left[tenant]:
            assert tenant in order[position + 1 : position + 1 + len(set(tenants))]


@given(st.lists(st.booleans(), max_size=300))
def test_retries_stay_within_their_share(spends: list[bool]) -> None:
    budget, retries = RetryBudget(0.1), 0
    for wanted in spends:
        budget.earn()
        retries += wanted and budget.spend()
    assert retries <= RESERVE + 0.1 * len(spends) + 1e-6


def test_a_budget_of_nothing_allows_no_retry() -> None:
    budget = RetryBudget(0)
    budget.earn()
    assert not budget.spend()


def test_the_table_of_outcomes() -> None:
    for outcome, end in HTTP.items():
        assert end.status in {429, 502, 503, 504}, outcome
        assert end.retry == (end.status in {429, 503}), outcome
