"""Pods, clients and gateways on one simulated clock. The dispatchers are the gateway's; time and pods are made up."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from recsys_gateway.config import Admission, Balancing
from recsys_gateway.engines.load_metrics import LoadSample
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.balancing.dispatcher import Call, CallEnd, Dispatcher, Lease
from recsys_gateway.serving.balancing.pod import PodSpec
from recsys_gateway.serving.policies.policy import Policy
from recsys_gateway.serving.policies.registry import policy_of

TOKEN_SECONDS = 0.005
SLOTS = 8
HOP_SECONDS = 0.002
"""One way between a gateway and a pod."""


@dataclass(frozen=True, slots=True)
class Arrival:
    at: float
    tokens: int
    patience: float = float("inf")
    """Seconds after which the client gives up."""


@dataclass(slots=True)
class Record:
    """What became of an arrival."""

    arrival: Arrival
    ended: float = float("nan")
    ok: bool = False
    refused: Outcome | None = None
    waited: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.arrival.at


class Clock:
    """Events in order of time; those of one moment in order of their making."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(when, self.now), next(self._order), action))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()


@dataclass(eq=False, slots=True)
class Job:
    tokens: float
    done: Callable[[bool], None]
    """Called with whether the answer is whole."""
    finish: float = 0.0
    gone: bool = False


@dataclass(eq=False)
class SimulatedPod:
    """Slots with a FIFO queue before them. A job's tokens take their time whatever else runs."""

    clock: Clock
    url: str
    speed: float
    slots: int = SLOTS
    alive: bool = True
    frozen: bool = False
    running: dict[Job, float] = field(default_factory=dict)
    """Tokens that were left when the speed last changed, or when the job began."""
    queued: deque[Job] = field(default_factory=deque)
    steps: float = 0.0
    _since: float = 0.0

    def accept(self, job: Job) -> bool:
        """Take a job; False where the pod is dead."""
        if not self.alive:
            return False
        self.queued.append(job)
        self._fill()
        return True

    def abort(self, job: Job) -> None:
        job.gone = True
        if job in self.running:
            self._progress()
            del self.running[job]
            self._fill()

    def set_speed(self, speed: float) -> None:
        self._progress()
        self.speed = speed
        for job in self.running:
            self._schedule(job)

    def die(self) -> None:
        self._progress()
        self.alive = False
        jobs, self.running, self.queued = [*self.running, *self.queued], {}, deque()
        for job in jobs:
            job.gone = True
            job.done(False)

    def revive(self) -> None:
        self.alive, self.steps, self._since = True, 0.0, self.clock.now

    def sample(self) -> LoadSample:
        self._progress()
        return LoadSample(float(len(self.queued)), float(len(self.running)), None, self.steps)

    @property
    def _rate(self) -> float:
        return 0.0 if self.frozen else self.speed / TOKEN_SECONDS

    def _progress(self) -> None:
        done = (self.clock.now - self._since) * self._rate
        self._since = self.clock.now
        if self.running:
            self.steps += done
        for job in self.running:
            self.running[job] -= done

    def _fill(self) -> None:
        while self.queued and len(self.running) < self.slots:
            job = self.queued.popleft()
            if not job.gone:
                self._progress()
                self.running[job] = job.tokens
                self._schedule(job)

    def _schedule(self, job: Job) -> None:
        job.finish = self.clock.now + self.running[job] / self._rate if self._rate else float("inf")
        if self._rate:
            self.clock.at(job.finish, lambda: self._finish(job, job.finish))

    def _finish(self, job: Job, planned: float) -> None:
        if job.gone or job not in self.running or self.clock.now + 1e-9 < job.finish:
            return
        self._progress()
        del self.running[job]
        self._fill()
        job.done(True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``speeds`` are the pods' true ones; ``weights`` what the configuration says of them, by default the truth."""

    speeds: tuple[float, ...]
    arrivals: tuple[Arrival, ...]
    weights: tuple[float, ...] | None = None
    scrape_seconds: float | None = 0.5
    gateways: int = 1
    with_steps: bool = True
    events: tuple[tuple[float, str, int, float], ...] = ()
    """(when, what, pod, value); what is one of die, revive, speed, no_scrapes, scrapes."""
    seconds: float = 60.0


class Gateway:
    """One dispatcher, and what the gateway's edges do around it: tick, scrape, send, retry."""

    def __init__(self, clock: Clock, pods: list[SimulatedPod], scenario: Scenario, dispatcher: Dispatcher) -> None:
        self.clock, self.pods, self.scenario, self.dispatcher = clock, pods, scenario, dispatcher
        self.scraping = True
        self._tick_at = float("inf")

    def scrape(self) -> None:
        for pod in self.pods:
            if not self.scraping:
                continue
            if not pod.alive:
                self.dispatcher.scrape_refused(pod.url, self.clock.now)
                continue
            state = self.dispatcher.pods[pod.url]
            sample = pod.sample()
            if not self.scenario.with_steps:
                sample = LoadSample(sample.queued, sample.running)
            self.dispatcher.observe(pod.url, sample, state.in_flight, self.clock.now)

    def serve(self, record: Record) -> None:
        """A client's call, from its arrival to its end."""
        arrival = record.arrival
        attempt = _Attempt(self, record, Call(arrival.at + min(arrival.patience, 60.0)))
        if arrival.patience < float("inf"):
            self.clock.at(arrival.at + arrival.patience, attempt.give_up)
        attempt.submit()
        self.tick()

    def tick(self) -> None:
        due = self.dispatcher.tick(self.clock.now)
        if due is not None and (due < self._tick_at or self._tick_at <= self.clock.now):
            self._tick_at = due
            self.clock.at(due, self.tick)


class _Attempt:
    def __init__(self, gateway: Gateway, record: Record, call: Call) -> None:
        self.gateway, self.record, self.call = gateway, record, call
        self.clock = gateway.clock
        self.lease: Lease | None = None
        self.job: Job | None = None
        self.waiting: object = None
        self.over = False

    def submit(self, *, again: bool = False) -> None:
        self.waiting = self.gateway.dispatcher.submit(self.call, self.settled, self.clock.now, again=again)

    def settled(self, got: Lease | Outcome) -> None:
        if isinstance(got, Outcome):
            self.record.refused, self.record.ended, self.over = got, self.clock.now, True
            return
        self.lease, self.waiting = got, None
        self.record.waited = self.clock.now - self.record.arrival.at
        self.clock.at(self.clock.now + HOP_SECONDS, self.arrive)

    def arrive(self) -> None:
        if self.over or self.lease is None:
            return
        url = self.lease.pod.spec.url
        pod = next(each for each in self.gateway.pods if each.url == url)
        self.job = Job(
            self.record.arrival.tokens,
            lambda ok: self.clock.at(self.clock.now + HOP_SECONDS, lambda: self.answered(ok)),
        )
        if not pod.accept(self.job):
            self.answered(False)

    def answered(self, ok: bool) -> None:
        if self.over or self.lease is None:
            return
        lease, self.lease, self.job = self.lease, None, None
        self.gateway.dispatcher.release(lease, CallEnd.OK if ok else CallEnd.UNREACHABLE, self.clock.now)
        if not ok:
            self.call = Call(self.call.deadline, tried=self.call.tried | {lease.pod.spec.url})
            self.submit(again=True)
            return
        self.record.ok, self.record.ended, self.over = True, self.clock.now, True

    def give_up(self) -> None:
        if self.over:
            return
        self.over, self.record.ended = True, self.clock.now
        if self.waiting is not None:
            self.gateway.dispatcher.withdraw(self.waiting, self.clock.now)  # type: ignore[arg-type]  a waiting call
        if self.lease is not None:
            if self.job is not None:
                url = self.lease.pod.spec.url
                next(each for each in self.gateway.pods if each.url == url).abort(self.job)
            self.gateway.dispatcher.release(self.lease, CallEnd.ABANDONED, self.clock.now)


def simulate(
    scenario: Scenario, balancing: Balancing, admission: Admission, seed: int, policy: Policy | None = None
) -> list[Record]:
    """What becomes of each arrival."""
    clock, random = Clock(), Random(seed)
    pods = [SimulatedPod(clock, f"http://pod-{n}", speed) for n, speed in enumerate(scenario.speeds)]
    weights = scenario.weights or scenario.speeds
    specs = [PodSpec(pod.url, f"pool-{n}", weights[n], pod.slots) for n, pod in enumerate(pods)]
    settings = balancing.model_copy(update={"replicas": scenario.gateways})
    gateways = []
    for _ in range(scenario.gateways):
        dispatcher = Dispatcher(admission, settings, policy or policy_of(settings), random)
        dispatcher.set_pods(specs, 0.0)
        gateways.append(Gateway(clock, pods, scenario, dispatcher))
    _schedule_scrapes(scenario, gateways, clock, random)
    for when, what, pod, value in scenario.events:
        clock.at(when, lambda what=what, pod=pod, value=value: _happen(what, pods[pod], gateways, value))
    records = [Record(arrival) for arrival in scenario.arrivals]
    for record in records:
        gateway = random.choice(gateways)
        clock.at(record.arrival.at, lambda gateway=gateway, record=record: gateway.serve(record))
    clock.run(scenario.seconds + 120)
    assert all(gateway.dispatcher.in_flight == 0 and gateway.dispatcher.waiting == 0 for gateway in gateways)
    return records


def _schedule_scrapes(scenario: Scenario, gateways: list[Gateway], clock: Clock, random: Random) -> None:
    interval = scenario.scrape_seconds
    if interval is None:
        return
    for gateway in gateways:
        when = random.random() * interval
        while when < scenario.seconds:
            clock.at(when, gateway.scrape)
            when += interval


def _happen(what: str, pod: SimulatedPod, gateways: list[Gateway], value: float) -> None:
    match what:
        case "die":
            pod.die()
        case "revive":
            pod.revive()
        case "speed":
            pod.set_speed(value)
        case "no_scrapes" | "scrapes":
            for gateway in gateways:
                gateway.scraping = what == "scrapes"
