"""Binding calls to pods: examples, then whatever sequence of events hypothesis thinks of."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from recsys_gateway.config import Admission, Balancing, PolicyName
from recsys_gateway.engines.load_metrics import LoadSample
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.admission.waiting_queue import Priority, Waiting
from recsys_gateway.serving.balancing.dispatcher import Call, CallEnd, Dispatcher, Lease, Ticket
from recsys_gateway.serving.balancing.pod import PodSpec
from recsys_gateway.serving.policies.registry import policy_of

EAGER = Balancing(policy=PolicyName.LEAST_REQUEST)


def dispatcher(pods: int = 1, slots: int = 2, *, balancing: Balancing = EAGER, **admission: object) -> Dispatcher:
    settings = Admission.model_validate({"max_queue_depth": 0, **admission})
    made = Dispatcher(settings, balancing, policy_of(balancing), Random(0))
    made.set_pods([PodSpec(f"http://pod-{n}", "a", slots=slots) for n in range(pods)], 0.0)
    return made


class Client:
    """What a call has been told, in order."""

    def __init__(self) -> None:
        self.told: list[Lease | Outcome] = []

    @property
    def lease(self) -> Lease:
        assert isinstance(self.told[-1], Lease)
        return self.told[-1]


def submit(to: Dispatcher, now: float = 0.0, **call: object) -> Client:
    client = Client()
    to.submit(Call(**{"deadline": now + 60, **call}), client.told.append, now)  # type: ignore[arg-type]  as Call has it
    return client


def test_a_call_gets_a_free_slot_at_once_and_the_next_one_when_it_is_given_back() -> None:
    made = dispatcher(slots=1)
    first, second = submit(made), submit(made)
    assert isinstance(first.told[0], Lease)
    assert (second.told, made.waiting) == ([], 1)
    made.release(first.lease, CallEnd.OK, 1.0)
    assert isinstance(second.told[0], Lease)
    assert made.waiting == 0


def test_a_gateway_that_is_alone_again_fills_the_slots_of_the_others() -> None:
    made = dispatcher(slots=4)
    made.set_gateways(4, 0.0)
    clients = [submit(made) for _ in range(4)]
    assert [len(client.told) for client in clients] == [1, 0, 0, 0]
    made.set_gateways(1, 1.0)
    assert all(isinstance(client.told[-1], Lease) for client in clients)


def test_a_pod_that_is_ending_gets_no_call_and_keeps_what_it_has() -> None:
    made = dispatcher(pods=2)
    first = submit(made)
    url = first.lease.pod.spec.url
    made.set_pods([PodSpec(f"http://pod-{n}", "a", slots=2, accepting=f"http://pod-{n}" != url) for n in range(2)], 1.0)
    later = [submit(made, 1.0) for _ in range(3)]
    assert {client.lease.pod.spec.url for client in later if client.told} == {"http://pod-0", "http://pod-1"} - {url}
    assert made.pods[url].in_flight == 1
    assert len(later[2].told) == 0


def test_giving_back_twice_does_nothing() -> None:
    made = dispatcher(slots=1)
    first = submit(made)
    made.release(first.lease, CallEnd.OK, 1.0)
    submit(made, 1.0)
    made.release(first.lease, CallEnd.OK, 2.0)
    assert made.in_flight == 1


def test_a_pod_that_others_have_filled_gets_nothing() -> None:
    made = dispatcher(slots=4)
    made.observe("http://pod-0", LoadSample(queued=3, running=4), 0, 0.1)
    assert submit(made, 0.1).told == []


def test_a_full_cache_gets_nothing() -> None:
    made = dispatcher(slots=4)
    made.observe("http://pod-0", LoadSample(queued=0, running=0, kv_use=0.95), 0, 0.1)
    assert submit(made, 0.1).told == []


def test_a_stale_scrape_never_means_full() -> None:
    made = dispatcher(slots=4)
    made.observe("http://pod-0", LoadSample(queued=3, running=4), 0, 0.0)
    assert isinstance(submit(made, 10.0).told[0], Lease)


def test_a_call_whose_time_is_over_is_told_so() -> None:
    made = dispatcher(slots=1)
    submit(made)
    late = submit(made, deadline=2.0)
    assert made.tick(1.0) == 2.0
    assert made.tick(2.0) is None
    assert late.told == [Outcome.EXPIRED]


def test_no_pod_is_waited_for_and_then_said() -> None:
    made = dispatcher(pods=0)
    patient, hasty = submit(made, deadline=2.0), submit(made, patient=False)
    assert (patient.told, hasty.told) == ([], [Outcome.NO_PODS])
    made.tick(2.0)
    assert patient.told == [Outcome.NO_PODS]
    waiting = submit(made, 3.0)
    made.set_pods([PodSpec("http://new", "a", slots=1)], 4.0)
    assert isinstance(waiting.told[0], Lease)


def test_a_wait_that_takes_too_much_of_the_time_is_refused_at_once() -> None:
    made = dispatcher(slots=1)
    submit(made)
    submit(made)
    assert submit(made, deadline=0.5).told == [Outcome.EXPECTED_WAIT]


def test_a_pod_that_refuses_connections_is_left_alone_until_it_answers_again() -> None:
    made = dispatcher(pods=2)
    made.scrape_refused("http://pod-0", 0.0)
    urls = {submit(made).lease.pod.spec.url for _ in range(2)}
    assert urls == {"http://pod-1"}
    made.observe("http://pod-0", LoadSample(0, 0), 0, 0.1)
    assert submit(made, 0.1).lease.pod.spec.url == "http://pod-0"


def test_calls_of_a_pod_that_falls_silent_are_told() -> None:
    made = dispatcher(pods=2, slots=1)
    clients = [submit(made), submit(made)]
    frozen = next(client for client in clients if client.lease.pod.spec.url == "http://pod-0")
    lost: list[str] = []
    frozen.lease.on_lost = lambda: lost.append("lost")
    made.scrape_timed_out("http://pod-0", 0.5, 1.5)
    assert lost == []
    made.scrape_timed_out("http://pod-0", 2.0, 3.0)
    assert lost == ["lost"]


def test_at_most_half_of_the_pods_are_judged_away() -> None:
    made = dispatcher(pods=2, slots=8)
    for _ in range(20):
        client = submit(made)
        made.release(client.lease, CallEnd.BAD_GATEWAY, 0.0)
    assert sum(pod.ejection.out(0.1) for pod in made.pods.values()) == 1


def test_an_overload_shrinks_a_pod_and_time_heals_it() -> None:
    made = dispatcher(slots=10)
    clients = [submit(made) for _ in range(10)]
    made.release(clients[0].lease, CallEnd.OVERLOADED, 0.0)
    pod = made.pods["http://pod-0"]
    assert pod.capacity.at(0.0) == pytest.approx(7)
    assert pod.capacity.at(2.0) == pytest.approx(9)
    assert pod.capacity.at(60.0) == 10


def test_a_pod_that_comes_later_starts_slowly_and_those_of_the_start_do_not() -> None:
    made = dispatcher(slots=8)
    specs = [PodSpec(f"http://pod-{n}", "a", slots=8) for n in range(3)]
    made.set_pods(specs[:2], 1.0)
    made.set_pods(specs, 100.0)
    assert [pod.capacity.at(100.0) for pod in made.pods.values()] == [8, 8, 1]
    assert made.pods["http://pod-2"].capacity.at(102.5) == pytest.approx(4)


def test_a_slow_pod_alone_is_used_by_the_default_policy_too() -> None:
    made = Dispatcher(Admission(), Balancing(), policy_of(Balancing()), Random(0))
    made.set_pods([PodSpec("http://fast", "a", 1.0, 1), PodSpec("http://slow", "b", 0.1, 1)], 0.0)
    made.scrape_refused("http://fast", 0.0)
    assert submit(made).lease.pod.spec.url == "http://slow"


@settings(max_examples=150, stateful_step_count=60)
class AnyEvents(RuleBasedStateMachine):
    """Two gateways' worth of trouble: calls, ends of every kind, scrapes, silence, pods that come and go."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.depth = 1
        self.made = dispatcher(pods=3, slots=2, max_queue_depth=self.depth, max_waiting=6, tenant_share=0.5)
        self.open: dict[int, tuple[list[Lease | Outcome], Waiting[Ticket] | None]] = {}
        self.count = 0

    @rule(target=calls, tenant=st.sampled_from("ab"), priority=st.sampled_from(Priority), seconds=st.floats(0, 5))
    def arrive(self, tenant: str, priority: Priority, seconds: float) -> int:
        told: list[Lease | Outcome] = []
        call = Call(self.now + seconds, tenant, priority)
        waiting = self.made.submit(call, told.append, self.now)
        assert (waiting is None) == bool(told)
        self.count += 1
        self.open[self.count] = told, waiting
        return self.count

    @rule(call=consumes(calls), end=st.sampled_from(CallEnd))
    def leave(self, call: int, end: CallEnd) -> None:
        told, waiting = self.open.pop(call)
        if told and isinstance(told[0], Lease):
            self.made.release(told[0], end, self.now)
            self.made.release(told[0], end, self.now)
        elif waiting is not None:
            self.made.withdraw(waiting, self.now)
            assert told == [] or isinstance(told[0], Outcome)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = self.made.tick(self.now)
        assert due is None or due > self.now

    @rule(pod=st.integers(0, 3), queued=st.integers(0, 9), running=st.integers(0, 4))
    def scrape(self, pod: int, queued: int, running: int) -> None:
        own = self.made.pods[f"http://pod-{pod}"].in_flight if f"http://pod-{pod}" in self.made.pods else 0
        self.made.observe(f"http://pod-{pod}", LoadSample(queued, running), own, self.now)

    @rule(pod=st.integers(0, 3), refused=st.booleans())
    def lose(self, pod: int, refused: bool) -> None:
        if refused:
            self.made.scrape_refused(f"http://pod-{pod}", self.now)
        else:
            self.made.scrape_timed_out(f"http://pod-{pod}", self.now - 1, self.now)

    @rule(pods=st.sets(st.integers(0, 3)), slots=st.integers(1, 3))
    def discover(self, pods: set[int], slots: int) -> None:
        self.made.set_pods([PodSpec(f"http://pod-{n}", "a", slots=slots) for n in pods], self.now)

    @invariant()
    def each_call_is_told_at_most_once(self) -> None:
        assert all(len(told) <= 1 for told, _ in self.open.values())

    @invariant()
    def counters_are_those_of_the_calls(self) -> None:
        held = sum(bool(told) and isinstance(told[0], Lease) for told, _ in self.open.values())
        assert self.made.in_flight == held
        assert self.made.waiting == sum(not told for told, _ in self.open.values())
        assert all(pod.in_flight >= 0 for pod in self.made.pods.values())

    @invariant()
    def the_queue_is_bounded(self) -> None:
        assert self.made.waiting <= 6

    @invariant()
    def nobody_waits_beside_a_pod_with_room(self) -> None:
        """No lost wake-up: the policy is eager, so a call that waits means that no pod has room."""
        if self.made.waiting:
            room = [each for each in self.made._candidates(self.now) if each.room]
            assert room == []

    def teardown(self) -> None:
        for told, waiting in list(self.open.values()):
            if told and isinstance(told[0], Lease):
                self.made.release(told[0], CallEnd.ABANDONED, self.now)
            elif waiting is not None:
                self.made.withdraw(waiting, self.now)
        for told, _ in self.open.values():  # what was bound by the others' leaving
            if told and isinstance(told[0], Lease):
                self.made.release(told[0], CallEnd.ABANDONED, self.now)
        assert (self.made.in_flight, self.made.waiting) == (0, 0)
        assert all(pod.in_flight == 0 for pod in self.made.pods.values())


TestAnyEvents = AnyEvents.TestCase
