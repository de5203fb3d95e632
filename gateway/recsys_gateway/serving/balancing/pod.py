"""One pod as the balancer sees it: what is known of it, and what follows for its load, its limit and its speed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recsys_gateway.config import Track
from recsys_gateway.engines.load_metrics import LoadSample
from recsys_gateway.serving.balancing.capacity import Capacity
from recsys_gateway.serving.balancing.ejection import Ejection
from recsys_gateway.serving.balancing.speed import Baselines, ServiceRate

STALE_SECONDS = 2.0
RATE_STEP_SECONDS = 0.005
"""A rate that was brought up to date so shortly before is good enough to compare pods by."""
FOREIGN_MEMORY_SECONDS = 2.0
"""The calls of others that a scrape saw are taken to end at this pace until the next one."""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What discovery says of a pod. ``accepting`` is false for one that is ending: it keeps what it has."""

    url: str
    pool: str
    weight: float = 1.0
    slots: int | None = None
    track: Track = Track.STABLE
    accepting: bool = True


class PodState:
    """Not for use from several threads: picking and counting is one step on the loop.

    ``in_flight`` is exact: this gateway's calls that are open there. Everything about others is an estimate.
    """

    def __init__(self, spec: PodSpec, baselines: Baselines, now: float, *, new: bool) -> None:
        self.spec = spec
        self.in_flight = 0
        self.last_sign = -math.inf
        self.sample: LoadSample | None = None
        self.sampled_at = -math.inf
        self.rate = ServiceRate(spec.weight, baselines, now)
        self.capacity = Capacity(spec.slots, now if new else None)
        self.ejection = Ejection()
        self._foreign = 0.0
        self._never_idle = False

    def adopt(self, spec: PodSpec) -> None:
        """Discovery says something new of the pod; what was learnt of it stays."""
        if spec.slots != self.spec.slots:
            self.capacity = Capacity(spec.slots, None)
        self.rate.weight = spec.weight
        self.spec = spec

    def up(self, now: float) -> bool:
        """Whether it may get a call, now or when it has room."""
        return self.spec.accepting and not self.ejection.out(now)

    def rate_at(self, now: float) -> float:
        """Calls that a busy slot completes a second, with the busy time up to now accounted for."""
        if now - self.rate.at > RATE_STEP_SECONDS:
            self.rate.advance(now, min(self.in_flight, self.capacity.limit))
        return self.rate.value()

    def count(self, change: int, now: float) -> None:
        """A call came (+1) or went (-1)."""
        self.rate.advance(now, min(self.in_flight, self.capacity.limit))
        self.in_flight += change
        if self.in_flight == 0:
            self._never_idle = False

    def observe(self, sample: LoadSample, own_before: int, now: float) -> None:
        """Take a scrape. ``own_before`` is ``in_flight`` at its start: what came or went while it was under way must
        not be taken for calls of others."""
        self._measure_steps(sample, now)
        seen = min(sample.queued, 2 * self.capacity.limit) + sample.running
        self._foreign = max(0.0, seen - max(own_before, self.in_flight))
        self.sample, self.sampled_at = sample, now
        self._never_idle = self.in_flight > 0
        self.capacity.learn(sample.queued, sample.running)

    def _measure_steps(self, sample: LoadSample, now: float) -> None:
        """Steps a second over the time since the last scrape, where the pod worked all the while."""
        before, elapsed = self.sample, now - self.sampled_at
        if before is None or before.steps is None or sample.steps is None or elapsed <= 0:
            return
        if self._never_idle and before.running >= 1 and sample.running >= 1 and sample.steps > before.steps:
            self.rate.advance(now, min(self.in_flight, self.capacity.limit))
            self.rate.steps_per_second = (sample.steps - before.steps) / elapsed

    def load(self, now: float, gateways: int) -> float:
        """Calls at the pod: own ones exactly, foreign ones by the last scrape, decaying with its age.

        ``n = a + max(0, q + r - a_s) * exp(-age / tau)``. Without a fresh scrape each other gateway is taken to have
        as many calls there as this one: staleness never means full.
        """
        if gateways == 1 and not self._foreign:
            return self.in_flight
        age = now - self.sampled_at
        if age > STALE_SECONDS:
            return self.in_flight * float(gateways)
        return self.in_flight + self._foreign * math.exp(-age / FOREIGN_MEMORY_SECONDS)

    def share(self, now: float, gateways: int) -> float:
        """Slots that this gateway may fill: its part of them, and its part of those that a fresh scrape saw free."""
        slots = self.capacity.at(now)
        own = slots / gateways
        age = now - self.sampled_at
        if age > STALE_SECONDS:
            return max(1.0, own)
        free = max(0.0, slots - self._foreign - self.in_flight)
        return max(1.0, own + free / gateways * math.exp(-age / FOREIGN_MEMORY_SECONDS))

    @property
    def kv_use(self) -> float:
        """Share of the pod's key-value cache that is in use, 0 where nobody says."""
        return self.sample.kv_use or 0.0 if self.sample else 0.0
