"""What stands around the gateway's dispatcher, in simulated time: its ticks, its scrapes, its retries."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from recsys_gateway.config import Admission, Balancing
from recsys_gateway.engines.load_metrics import LoadSample
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.admission.retry_budget import RetryBudget
from recsys_gateway.serving.admission.waiting_queue import Waiting
from recsys_gateway.serving.balancing.dispatcher import Call, CallEnd, Dispatcher, Lease, Ticket
from recsys_gateway.serving.balancing.pod import PodSpec
from recsys_gateway.serving.policies.registry import policy_of

from simulation.clock import Clock
from simulation.pods import Job, SimulatedPod
from simulation.traces import Arrival

HOP_SECONDS = 0.002
"""One way between a gateway and a pod."""
SCRAPE_TIMEOUT_SECONDS = 1.0
TICK_SECONDS = 0.25
"""As in the gateway: while calls wait, it looks so often at what changes with time alone."""
MAX_TRIES = 4


@dataclass(slots=True)
class Record:
    """What became of an arrival."""

    arrival: Arrival
    ended: float = math.nan
    ok: bool = False
    refused: Outcome | None = None
    left: bool = False
    """The client hung up."""
    waited: float = math.nan
    """Until it got its pod, the last one where there were several."""
    tries: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.arrival.at


Ended = Callable[[Record], None]


class SimulatedGateway:
    """One replica: the gateway's own dispatcher and retry budget. ``ended`` is told of each call at its end."""

    def __init__(
        self,
        clock: Clock,
        pods: list[SimulatedPod],
        specs: list[PodSpec],
        admission: Admission,
        balancing: Balancing,
        random: Random,
        ended: Ended = lambda _: None,
    ) -> None:
        self.clock = clock
        self.pods = {pod.url: pod for pod in pods}
        self.dispatcher = Dispatcher(admission, balancing, policy_of(balancing), random)
        self.dispatcher.set_pods(specs, clock.now)
        self.budget = RetryBudget(balancing.retry_budget)
        self.default_patience = admission.default_timeout_seconds
        self.ended = ended
        self.scraping = True
        self._ticking = False

    def serve(self, arrival: Arrival) -> Record:
        """Take a client's call; what becomes of it stands in the record once it has ended."""
        self.budget.earn()
        attempt = _ClientCall(self, Record(arrival))
        attempt.submit()
        if self.dispatcher.waiting and not self._ticking:
            self._ticking = True
            self._tick()
        return attempt.record

    def watch(self, interval: float, until: float, random: Random, *, with_steps: bool) -> None:
        """Scrape each pod in a rhythm of its own until the time is over."""
        for pod in self.pods.values():
            self.clock.after(
                interval * random.random(), _Scraping(self, pod, interval, until, random, with_steps).begin
            )

    def _tick(self) -> None:
        due = self.dispatcher.tick(self.clock.now)
        self._ticking = due is not None
        if due is not None:
            self.clock.after(min(TICK_SECONDS, max(0.001, due - self.clock.now)), self._tick)


@dataclass(slots=True)
class _Scraping:
    """One gateway's scrapes of one pod, one after the other."""

    gateway: SimulatedGateway
    pod: SimulatedPod
    interval: float
    until: float
    random: Random
    with_steps: bool

    def begin(self) -> None:
        clock, dispatcher, url = self.gateway.clock, self.gateway.dispatcher, self.pod.url
        started, own = clock.now, dispatcher.pods[url].in_flight

        def arrive() -> None:
            if not self.gateway.scraping:
                self._again()
            elif not self.pod.alive:
                dispatcher.scrape_refused(url, clock.now)
                self._again()
            elif self.pod.frozen:
                clock.at(started + SCRAPE_TIMEOUT_SECONDS, time_out)
            else:
                sample = self.pod.sample(with_steps=self.with_steps)
                clock.after(HOP_SECONDS, lambda: answered(sample))

        def answered(sample: LoadSample) -> None:
            dispatcher.observe(url, sample, own, clock.now)
            self._again()

        def time_out() -> None:
            dispatcher.scrape_timed_out(url, started, clock.now)
            self._again()

        clock.after(HOP_SECONDS, arrive)

    def _again(self) -> None:
        if self.gateway.clock.now < self.until:
            self.gateway.clock.after(self.interval * self.random.uniform(0.8, 1.2), self.begin)


class _ClientCall:
    """A call from its arrival to its end: waits, is sent, is sent again where a pod fails it, or is hung up."""

    def __init__(self, gateway: SimulatedGateway, record: Record) -> None:
        self.gateway, self.record = gateway, record
        self.clock = gateway.clock
        arrival = record.arrival
        patience = min(arrival.patience, gateway.default_patience)
        self._call = Call(arrival.at + patience, arrival.tenant, arrival.priority)
        self._waiting: Waiting[Ticket] | None = None
        self._lease: Lease | None = None
        self._job: Job | None = None
        self._over = False
        self.clock.after(min(patience, arrival.leaves), self._hang_up)

    def submit(self) -> None:
        again = bool(self._call.tried)
        self._waiting = self.gateway.dispatcher.submit(self._call, self._settled, self.clock.now, again=again)

    def _settled(self, got: Lease | Outcome) -> None:
        if isinstance(got, Outcome):
            self._end(refused=got)
            return
        self._lease, self._waiting = got, None
        self.record.waited = self.clock.now - self.record.arrival.at
        self.record.tries += 1
        got.on_lost = lambda: self.clock.after(0.0, lambda: self._failed(got, CallEnd.ABANDONED))
        self.clock.after(HOP_SECONDS, lambda: self._arrive(got))

    def _arrive(self, lease: Lease) -> None:
        if self._lease is not lease:
            return
        job = Job(
            self.record.arrival.tokens, lambda ok: self.clock.after(HOP_SECONDS, lambda: self._answered(lease, ok))
        )
        self._job = job
        if not self.gateway.pods[lease.pod.spec.url].accept(job):
            self.clock.after(HOP_SECONDS, lambda: self._answered(lease, False))

    def _answered(self, lease: Lease, ok: bool) -> None:
        if self._lease is not lease:
            return
        if not ok:
            self._failed(lease, CallEnd.UNREACHABLE)
            return
        lease.pod.last_sign = self.clock.now
        self._leave_pod(CallEnd.OK)
        self._end(ok=True)

    def _failed(self, lease: Lease, end: CallEnd) -> None:
        """The pod is gone or silent: elsewhere, as long as there is budget."""
        if self._lease is not lease:
            return
        self._leave_pod(end)
        if self.record.tries >= MAX_TRIES or not self.gateway.budget.spend():
            self._end(refused=Outcome.UNAVAILABLE)
            return
        call = self._call
        self._call = Call(call.deadline, call.tenant, call.priority, tried=call.tried | {lease.pod.spec.url})
        self.submit()

    def _hang_up(self) -> None:
        if self._over:
            return
        if self._waiting is not None:
            self.gateway.dispatcher.withdraw(self._waiting, self.clock.now)
        self._leave_pod(CallEnd.ABANDONED)
        self.record.left = True
        self._end()

    def _leave_pod(self, end: CallEnd) -> None:
        lease, job, self._lease, self._job = self._lease, self._job, None, None
        if lease is None:
            return
        if job is not None and end is CallEnd.ABANDONED:
            self.gateway.pods[lease.pod.spec.url].abort(job)
        self.gateway.dispatcher.release(lease, end, self.clock.now)

    def _end(self, *, ok: bool = False, refused: Outcome | None = None) -> None:
        self.record.ok, self.record.refused, self.record.ended, self._over = ok, refused, self.clock.now, True
        self.gateway.ended(self.record)
