"""A GPU pod: slots with a first-come queue before them, as continuous batching behaves while memory lasts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from recsys_gateway.engines.load_metrics import LoadSample

from simulation.clock import Clock

TOKEN_SECONDS = 0.005
"""A token takes so long at speed 1."""
SLOTS = 8


@dataclass(eq=False, slots=True)
class Job:
    """A call inside a pod. ``left`` are its tokens at ``since``; ``done`` is told whether the answer is whole."""

    left: float
    done: Callable[[bool], None]
    since: float = 0.0
    finish: float = math.inf
    gone: bool = False


@dataclass(eq=False)
class SimulatedPod:
    """A job's tokens take their time whatever else runs. ``frozen``: connections stand, and nothing comes."""

    clock: Clock
    url: str
    speed: float
    slots: int = SLOTS
    alive: bool = True
    frozen: bool = False
    running: dict[Job, None] = field(default_factory=dict)
    queued: deque[Job] = field(default_factory=deque)
    _steps: float = 0.0
    _since: float = 0.0

    def accept(self, job: Job) -> bool:
        """Take a job; False where the pod is dead."""
        if not self.alive:
            return False
        self.queued.append(job)
        self._fill()
        return True

    def abort(self, job: Job) -> None:
        """The client hung up. One that is queued still counts until it reaches the front, as in TGI."""
        job.gone = True
        if job in self.running:
            self._leave(job)

    def set_speed(self, speed: float) -> None:
        self._change(speed=speed)

    def freeze(self) -> None:
        self._change(frozen=True)

    def thaw(self) -> None:
        self._change(frozen=False)
        self._fill()

    def die(self) -> None:
        """Every connection breaks."""
        self._count_steps()
        self.alive, self._steps = False, 0.0
        jobs, self.running, self.queued = [*self.running, *self.queued], {}, deque()
        for job in jobs:
            if not job.gone:
                job.gone = True
                job.done(False)

    def revive(self) -> None:
        self.alive, self._since = True, self.clock.now

    def sample(self, *, with_steps: bool) -> LoadSample:
        """What a scrape sees now."""
        self._count_steps()
        steps = self._steps if with_steps else None
        return LoadSample(float(len(self.queued)), float(len(self.running)), None, steps)

    @property
    def _rate(self) -> float:
        return 0.0 if self.frozen else self.speed / TOKEN_SECONDS

    def _count_steps(self) -> None:
        if self.running:
            self._steps += (self.clock.now - self._since) * self._rate
        self._since = self.clock.now

    def _change(self, *, speed: float | None = None, frozen: bool | None = None) -> None:
        self._count_steps()
        for job in self.running:
            job.left -= (self.clock.now - job.since) * self._rate
            job.since = self.clock.now
        self.speed = self.speed if speed is None else speed
        self.frozen = self.frozen if frozen is None else frozen
        for job in self.running:
            self._schedule(job)

    def _fill(self) -> None:
        if self.frozen:
            return
        while self.queued and len(self.running) < self.slots:
            job = self.queued.popleft()
            if not job.gone:
                self._count_steps()
                job.since = self.clock.now
                self.running[job] = None
                self._schedule(job)

    def _schedule(self, job: Job) -> None:
        job.finish = job.since + job.left / self._rate if self._rate else math.inf
        if job.finish < math.inf:
            planned = job.finish
            self.clock.at(planned, lambda: self._finish(job, planned))

    def _finish(self, job: Job, planned: float) -> None:
        if job.gone or job not in self.running or job.finish != planned:
            return  # it has left, or its speed has changed since this was planned
        self._leave(job)
        job.done(True)

    def _leave(self, job: Job) -> None:
        self._count_steps()
        del self.running[job]
        self._fill()
