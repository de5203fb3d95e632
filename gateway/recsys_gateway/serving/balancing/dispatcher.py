"""Binds calls to pods: late, one at a time, counting in the same step. The heart of the gateway.

A call gets its pod when that pod has room, not when it arrives. Until then it waits in the queue of ``admission``.
Every event (a call comes, leaves or gives up; a scrape; a change of pods; a deadline) is a method with the time as
argument, and each of them binds what can be bound then: there is no event that frees a place and wakes nobody.

The same objects run in the gateway, on its loop, and in the simulator, on its own clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import NamedTuple

from recsys_gateway.config import Admission, Balancing
from recsys_gateway.engines.load_metrics import LoadSample
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.admission.waiting_queue import Priority, Waiting, WaitingQueue
from recsys_gateway.serving.balancing.capacity import SLOW_START_SECONDS
from recsys_gateway.serving.balancing.ejection import Fault
from recsys_gateway.serving.balancing.pod import PodSpec, PodState
from recsys_gateway.serving.balancing.speed import Baselines
from recsys_gateway.serving.policies.policy import Candidate, Choice, Policy

PROBE_CALLS = 1
"""Calls sent to a pod that was ejected, until one of them or a scrape has shown that it is back."""


class Call(NamedTuple):
    """A call that wants a pod. ``deadline`` is a reading of the clock; ``tried``: addresses that failed it before.

    ``patient``: it waits for a pod to come where there is none; else it is refused at once.
    """

    deadline: float
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    affinity: str = ""
    tried: frozenset[str] = frozenset()
    patient: bool = True


class CallEnd(StrEnum):
    """How a call at a pod ended, as far as the pod is concerned."""

    OK = "ok"
    ABANDONED = "abandoned"  # the client went, or nobody needs the answer any more
    REFUSED = "refused"  # by the engine, for the request's own fault
    FAILED = "failed"  # an error of the engine's own (500): says nothing of the pod
    OVERLOADED = "overloaded"
    UNREACHABLE = "unreachable"
    BROKEN = "broken"  # the connection was lost under the call
    TIMEOUT = "timeout"
    BAD_GATEWAY = "bad_gateway"


_FAULTS = {
    CallEnd.UNREACHABLE: Fault.UNREACHABLE,
    CallEnd.BROKEN: Fault.BROKEN,
    CallEnd.TIMEOUT: Fault.TIMEOUT,
    CallEnd.BAD_GATEWAY: Fault.BAD_GATEWAY,
}


@dataclass(eq=False, slots=True)
class Lease:
    """A place at a pod. ``on_lost`` is called when the pod falls silent, so that a call may go elsewhere."""

    pod: PodState
    taken_at: float
    released: bool = False
    on_lost: Callable[[], None] | None = None


Settled = Callable[["Lease | Outcome"], None]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that waits; ``settled`` is called once, with its lease or with why there is none."""

    call: Call
    settled: Settled


@dataclass(slots=True)
class Tallies:
    """What has happened since the start, for the metrics."""

    ejections: int = 0
    shed: dict[Outcome, int] = field(default_factory=dict)


class Dispatcher:
    """The pods of one model and track, and the calls that wait for them. Not for use from several threads."""

    def __init__(self, admission: Admission, balancing: Balancing, policy: Policy, random: Random) -> None:
        self.gateways = balancing.replicas
        self.tallies = Tallies()
        self.pods: dict[str, PodState] = {}
        self._admission = admission
        self._policy = policy
        self._random = random
        self._first_pod_at = math.inf
        self._baselines = Baselines.fresh()
        self._leases: dict[Lease, None] = {}
        self._queue: WaitingQueue[Ticket] = WaitingQueue(
            admission.max_waiting, admission.tenant_share, _floors(admission)
        )

    def configure(self, admission: Admission, policy: Policy | None) -> None:
        """Go by new settings from the next call on; ``policy`` None keeps the present one and what it has learnt."""
        self._admission = admission
        self._policy = policy or self._policy
        self._queue.resize(admission.max_waiting, admission.tenant_share, _floors(admission))

    # Events

    def set_gateways(self, count: int, now: float) -> None:
        """``count`` gateways share the pods from now on; calls that run are left where they are."""
        self.gateways = count
        self._bind(now)

    def set_pods(self, specs: Iterable[PodSpec], now: float) -> None:
        """What discovery knows now. A pod that is gone keeps its calls to their end, and gets no other.

        Pods that are found while the gateway itself is new have been there before it: they need no slow start.
        """
        wanted = {spec.url: spec for spec in specs}
        for url, spec in wanted.items():
            state = self.pods.get(url)
            if state is None:
                self._first_pod_at = min(self._first_pod_at, now)
                new = now - self._first_pod_at > SLOW_START_SECONDS
                self.pods[url] = PodState(spec, self._baselines, now, new=new)
            elif state.spec != spec:
                state.adopt(spec)
        for url in [url for url in self.pods if url not in wanted]:
            del self.pods[url]
        self._bind(now)

    def submit(self, call: Call, settled: Settled, now: float, *, again: bool = False) -> Waiting[Ticket] | None:
        """Bind the call now, refuse it now, or let it wait; the last gives what ``withdraw`` takes.

        ``again``: it was bound before and failed; it is not refused for its expected wait, and goes first.
        """
        if not len(self._queue) and (lease := self._lease(call, 1, now)) is not None:
            settled(lease)
            return None
        if not call.patient and not self._up(now):
            lost = self._probe(now)
            if lost is None:
                self._refuse(settled, Outcome.NO_PODS)
            else:
                settled(lost)
            return None
        if not again and (hopeless := self._hopeless(call, now)) is not None:
            self._refuse(settled, hopeless)
            return None
        waiting = Waiting(Ticket(call, settled), call.tenant, call.priority, call.deadline, seconds=call.deadline - now)
        refusal, evicted = self._queue.push(waiting, first=again)
        if evicted is not None:
            self._refuse(evicted.payload.settled, Outcome.TENANT_FULL)
        if refusal is not None:
            self._refuse(settled, refusal)
            return None
        self._bind(now)
        return waiting if waiting.present else None

    def withdraw(self, waiting: Waiting[Ticket], now: float) -> None:
        """Nobody needs the call any more; its ``settled`` is not called."""
        if self._queue.remove(waiting):
            self._bind(now)

    def release(self, lease: Lease, end: CallEnd, now: float) -> None:
        """The call has left its pod. Releasing twice does nothing."""
        if lease.released:
            return
        lease.released = True
        del self._leases[lease]
        pod = lease.pod
        running = pod.in_flight
        pod.count(-1, now)
        if end is CallEnd.OK:
            pod.rate.completed(now)
        if end in {CallEnd.OK, CallEnd.REFUSED, CallEnd.FAILED}:
            self._well(pod, now)
        elif end is CallEnd.OVERLOADED:
            pod.capacity.overloaded(running, now)
        elif (fault := _FAULTS.get(end)) is not None and self._may_eject(pod, fault, now):
            self.tallies.ejections += pod.ejection.failed(fault, now)
        self._bind(now)

    def observe(self, url: str, sample: LoadSample, own_before: int, now: float, taken: float | None = None) -> None:
        """A scrape of the pod succeeded; ``own_before``: its ``in_flight`` when the scrape began.

        ``taken``: when somebody else scraped it. That is no sign of its health now.
        """
        if (pod := self.pods.get(url)) is not None:
            pod.observe(sample, own_before, now if taken is None else taken)
            if taken is None:
                pod.last_sign = now
                self._well(pod, now)
            self._bind(now)

    def scrape_answered(self, url: str, now: float) -> None:
        """The pod is there, though what it says of its load cannot be used."""
        if (pod := self.pods.get(url)) is not None:
            pod.last_sign = now
            self._well(pod, now)
            self._bind(now)

    def scrape_refused(self, url: str, now: float) -> None:
        """The pod's port is closed: no call needs to find that out."""
        if (pod := self.pods.get(url)) is not None:
            self.tallies.ejections += pod.ejection.failed(Fault.UNREACHABLE, now)
            self._bind(now)

    def scrape_timed_out(self, url: str, started: float, now: float) -> None:
        """No answer to a scrape begun at ``started``; a pod that is silent altogether loses its calls to others."""
        pod = self.pods.get(url)
        if pod is None or not self._may_eject(pod, Fault.SILENT, now):
            return
        if pod.ejection.scrape_timed_out(started, pod.last_sign, now):
            self.tallies.ejections += 1
            for lease in [each for each in self._leases if each.pod is pod and each.on_lost is not None]:
                if lease.on_lost is not None:
                    lease.on_lost()
        self._bind(now)

    def tick(self, now: float) -> float | None:
        """Refuse what is over time, and bind; when to come again at the latest (None: not before the next event)."""
        for waiting in self._queue.expire(now):
            self._refuse(waiting.payload.settled, Outcome.EXPIRED if self._up(now) else Outcome.NO_PODS)
        self._bind(now)
        return self._queue.next_deadline()

    # What others want to know

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Calls at pods, those included that discovery no longer knows."""
        return len(self._leases)

    def usable(self, now: float) -> bool:
        """Whether a call could go to some pod, now or when one has room."""
        return bool(self._up(now))

    def expected_wait(self, now: float) -> float | None:
        """Seconds that a call that comes now would wait if it came last; None where there is no pod."""
        rate = self._calls_per_second(now)
        return (len(self._queue) + 1) / rate if rate else None

    # How it is done

    def _refuse(self, settled: Settled, outcome: Outcome) -> None:
        self.tallies.shed[outcome] = self.tallies.shed.get(outcome, 0) + 1
        settled(outcome)

    def _hopeless(self, call: Call, now: float) -> Outcome | None:
        """Why a call had better be refused at once than wait; a model without any pod is waited for."""
        left = call.deadline - now
        if left <= 0:
            return Outcome.EXPIRED
        wait = self.expected_wait(now)
        if wait is not None and len(self._queue) and wait > self._admission.wait_share * left:
            return Outcome.EXPECTED_WAIT
        return None

    def _bind(self, now: float) -> None:
        """Give pods to the calls that wait, as long as there is one for the next of them."""
        while len(self._queue):
            waiting = self._queue.peek(self._calls_per_second(now) * self._admission.newest_first_share)
            if waiting is None:
                return
            lease = self._lease(waiting.payload.call, len(self._queue), now)
            if lease is None:
                return
            self._queue.take(waiting)
            waiting.payload.settled(lease)

    def _calls_per_second(self, now: float) -> float:
        """This gateway's part of what the pods complete when they are busy."""
        return sum(each.calls_per_second for each in self._candidates(now)) / self.gateways

    def _lease(self, call: Call, waiting: int, now: float) -> Lease | None:
        """Pick and count in one step."""
        candidates = self._candidates(now)
        if call.tried:
            untried = [each for each in candidates if each.pod.spec.url not in call.tried]
            candidates = untried or candidates
        chosen = self._policy.pick(candidates, Choice(waiting, call.affinity, self.gateways), self._random)
        return None if chosen is None else self._take(chosen.pod, now)

    def _probe(self, now: float) -> Lease | None:
        """A pod that is left alone since it refused connections, where there is no other: to be refused takes no time,
        and it may be back by now."""
        for pod in self.pods.values():
            refused = pod.ejection.fault in {Fault.UNREACHABLE, Fault.BROKEN}
            if refused and pod.spec.accepting and pod.in_flight < PROBE_CALLS:
                return self._take(pod, now)
        return None

    def _take(self, pod: PodState, now: float) -> Lease:
        pod.count(1, now)
        lease = Lease(pod, now)
        self._leases[lease] = None
        return lease

    def _candidates(self, now: float) -> list[Candidate]:
        return [
            self._candidate(pod, now) for pod in self.pods.values() if pod.spec.accepting and now >= pod.ejection.until
        ]

    def _candidate(self, pod: PodState, now: float) -> Candidate:
        gateways, depth = self.gateways, self._admission.max_queue_depth
        slots, load = pod.capacity.at(now), pod.load(now, gateways)
        if pod.ejection.fault is not None:
            room = pod.in_flight < PROBE_CALLS
        else:
            room = load < slots + depth and pod.kv_use < self._admission.max_kv_use
            if gateways > 1 and room:
                room = pod.in_flight < pod.share(now, gateways) + depth / gateways
        return Candidate(pod, load, slots, 1.0 / pod.rate_at(now), room)

    def _up(self, now: float) -> list[PodState]:
        return [pod for pod in self.pods.values() if pod.up(now)]

    def _may_eject(self, pod: PodState, fault: Fault, now: float) -> bool:
        """A pod that refuses connections is down, and that is a fact. The rest is judgement, and judgement may take at
        most half of the pods away."""
        pods = [each for each in self.pods.values() if each.spec.accepting or each is pod]
        out = sum(1 for each in pods if each is not pod and each.ejection.out(now))
        return fault is Fault.UNREACHABLE or 2 * (out + 1) <= len(pods)

    def _well(self, pod: PodState, now: float) -> None:
        if pod.ejection.succeeded():
            pod.capacity.restart(now)


def _floors(admission: Admission) -> dict[Priority, float]:
    return {Priority.NORMAL: admission.floors.normal, Priority.LOW: admission.floors.low}
