"""How fast a pod is: calls that one of its busy slots completes a second, learnt from completions and busy time.

With ``N`` calls completed in ``B`` busy slot-seconds and a prior worth ``K`` calls at the rate ``p``, the estimate is

    r = (K + N) / (K / p + B)

the mean of a Gamma posterior under exponential service. Busy time counts while calls still run, so a pod that slows
down or stops is noticed before its next completion. ``N`` and ``B`` are forgotten exponentially.

The prior of a pod is its *speed* times what a unit of speed completes across all pods of the model. Speed is the pool's
weight, or, where the engine counts its decode steps, the steps it makes a second: those follow a change of the pod
within one scrape, whatever the lengths of the answers were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_BUSY_SECONDS = 8.0
"""How fast completions are forgotten while the pod works: some hundred calls of half a second on eight slots."""
MEMORY_IDLE_SECONDS = 60.0
"""While it rests: a pod that was slow and is avoided gets another chance after a while."""
BASELINE_MEMORY_SECONDS = 60.0
PRIOR_CALLS_OF_WEIGHT = 6.0
PRIOR_CALLS_OF_STEPS = 60.0
"""Counted steps say more of a pod's speed than its few completions, whose lengths vary."""


class SpeedBaseline:
    """What one unit of speed completes a second in a busy slot, over all the pods of a model."""

    def __init__(self, first_guess: float) -> None:
        """``first_guess`` in calls per slot-second and unit of speed; it counts as one call."""
        self._guess = first_guess
        self._calls = 0.0
        self._scaled_seconds = 0.0
        self._at = -math.inf

    def count(self, calls: float, scaled_seconds: float, now: float) -> None:
        """``calls`` ended; ``scaled_seconds`` are busy slot-seconds times the speed that they were worked at."""
        if now > self._at:
            kept = math.exp((self._at - now) / BASELINE_MEMORY_SECONDS) if self._at > -math.inf else 1.0
            self._calls *= kept
            self._scaled_seconds *= kept
            self._at = now
        self._calls += calls
        self._scaled_seconds += scaled_seconds

    def rate(self, speed: float) -> float:
        """Calls that a busy slot of this ``speed`` completes a second."""
        return speed * (1.0 + self._calls) / (1.0 / self._guess + self._scaled_seconds)


@dataclass(slots=True)
class Baselines:
    """The pods' speeds come in two units, and each has its own baseline."""

    weight: SpeedBaseline
    steps: SpeedBaseline

    @classmethod
    def fresh(cls) -> Baselines:
        """A call takes a second on a pod of weight 1, or a hundred steps, until it is known better."""
        return cls(SpeedBaseline(1.0), SpeedBaseline(0.01))


class ServiceRate:
    """One pod's rate. ``busy_slots`` says at every change how many of this gateway's calls are worked on."""

    def __init__(self, weight: float, baselines: Baselines, now: float) -> None:
        self.weight = weight
        self.steps_per_second: float | None = None
        self._baselines = baselines
        self._calls = 0.0
        self._seconds = 0.0
        self.at = now

    def advance(self, now: float, busy_slots: float) -> None:
        """Account for the time since the last change, during which ``busy_slots`` were busy."""
        elapsed = now - self.at
        if elapsed <= 0:
            return
        self.at = now
        kept = math.exp(-elapsed / (MEMORY_BUSY_SECONDS if busy_slots else MEMORY_IDLE_SECONDS))
        self._calls *= kept
        self._seconds = self._seconds * kept + busy_slots * elapsed
        self._tell_baseline(0.0, busy_slots * elapsed, now)

    def completed(self, now: float) -> None:
        """A call came to its natural end; ``advance`` has been called for ``now``."""
        self._calls += 1
        self._tell_baseline(1.0, 0.0, now)

    def value(self) -> float:
        """Calls a busy slot completes a second; above 0."""
        if self.steps_per_second is not None:
            prior, worth = self._baselines.steps.rate(self.steps_per_second), PRIOR_CALLS_OF_STEPS
        else:
            prior, worth = self._baselines.weight.rate(self.weight), PRIOR_CALLS_OF_WEIGHT
        return (worth + self._calls) / (worth / prior + self._seconds)

    def _tell_baseline(self, calls: float, seconds: float, now: float) -> None:
        self._baselines.weight.count(calls, seconds * self.weight, now)
        if self.steps_per_second is not None:
            self._baselines.steps.count(calls, seconds * self.steps_per_second, now)
