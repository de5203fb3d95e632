"""Pure: what the gateways counted of a canary's calls -> on trial, promoted or aborted.

The trial's clock starts when the canary's pods are ready first. What was counted is added up in status, by what came
since the last look at each gateway pod: a gateway that starts anew, or an operator that does, takes nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from recsys_operator.api.models import AbortCriteria, Canary
from recsys_operator.api.status import CanaryStage
from recsys_operator.reconcile.durations import seconds

_Label = TypeVar("_Label")

SUCCESS = "ok"
NEUTRAL = frozenset({"cancelled", "refused"})
"""Outcomes that say nothing about a model: a client that left, a request that is wrong by itself. They do not count
as calls either, so that a canary which refuses everything never gathers the calls that it needs."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Running totals of a source, or what was added between two looks. ``buckets``: upper bound -> calls up to it."""

    outcomes: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)

    @property
    def calls(self) -> float:
        return sum(count for outcome, count in self.outcomes.items() if outcome not in NEUTRAL)

    @property
    def failures(self) -> float:
        return sum(count for outcome, count in self.outcomes.items() if outcome not in NEUTRAL | {SUCCESS})

    def since(self, before: Counters | None) -> Counters:
        """What was added. A total that fell began anew from zero: all of it was added."""
        if before is None:
            return Counters()
        return Counters(
            {outcome: _added(count, before.outcomes.get(outcome, 0)) for outcome, count in self.outcomes.items()},
            {bound: _added(count, before.buckets.get(bound, 0)) for bound, count in self.buckets.items()},
        )

    def __add__(self, other: Counters) -> Counters:
        return Counters(_sum(self.outcomes, other.outcomes), _sum(self.buckets, other.buckets))


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary as ``status.canaries`` keeps it."""

    stage: CanaryStage = CanaryStage.TRIAL
    started_at: datetime | None = None
    calls: int = 0
    failures: int = 0
    p95_seconds: float | None = None
    message: str = ""


class Finding(NamedTuple):
    """What was found at a look: what came since the last one, and the latencies of the whole time looked at."""

    added: Counters
    latencies: Mapping[float, float]


def judge(canary: Canary, trial: Trial, finding: Finding | None, pods_ready: bool, now: datetime) -> Trial:
    """The trial after a look. ``finding`` None: the gateways could not be read, so nothing is promoted now."""
    if trial.stage is not CanaryStage.TRIAL:
        return trial
    if trial.started_at is None:
        if not pods_ready:
            return replace(trial, message="waiting for the canary's pods to be ready")
        trial = replace(trial, started_at=now)
    trial = _counted(trial, finding)
    if (against := _reason_to_abort(canary.abort_on, trial)) is not None:
        return replace(trial, stage=CanaryStage.ABORTED, message=f"aborted: {against}")
    return _promoted_or_waiting(canary, trial, finding is not None, pods_ready, now)


def percentile(buckets: Mapping[float, float], share: float) -> float | None:
    """The upper bound of the bucket in which it lies: never better than the truth. None without calls."""
    total = buckets.get(float("inf"), max(buckets.values(), default=0.0))
    if total <= 0:
        return None
    return next((bound for bound in sorted(buckets) if buckets[bound] >= share * total), float("inf"))


def _counted(trial: Trial, finding: Finding | None) -> Trial:
    if finding is None:
        return trial
    p95 = percentile(finding.latencies, 0.95)
    return replace(
        trial,
        calls=trial.calls + round(finding.added.calls),
        failures=trial.failures + round(finding.added.failures),
        p95_seconds=trial.p95_seconds if p95 is None else p95,
    )


def _reason_to_abort(criteria: AbortCriteria | None, trial: Trial) -> str | None:
    if criteria is None or trial.calls < criteria.min_calls:
        return None
    if criteria.error_rate is not None and trial.failures / trial.calls > criteria.error_rate:
        share = trial.failures / trial.calls
        return f"{trial.failures} of {trial.calls} calls failed ({share:.1%}; at most {criteria.error_rate:.1%} may)"
    if criteria.p95_seconds is not None and trial.p95_seconds is not None and trial.p95_seconds > criteria.p95_seconds:
        return f"95% of calls end within {trial.p95_seconds:g} s only (asked for: {criteria.p95_seconds:g} s)"
    return None


def _promoted_or_waiting(canary: Canary, trial: Trial, was_read: bool, pods_ready: bool, now: datetime) -> Trial:
    assert trial.started_at is not None  # noqa: S101 (set by the caller)
    ends = trial.started_at + timedelta(seconds=seconds(canary.promote_after))
    seen = f"{trial.calls} calls, {trial.failures} failed"
    if now < ends:
        return replace(trial, message=f"on trial until {ends.isoformat(timespec='seconds')}: {seen}")
    wanted = canary.abort_on.min_calls if canary.abort_on is not None and canary.traffic > 0 else 0
    if not was_read and canary.abort_on is not None:
        return replace(trial, message=f"time is up, but the gateways' metrics cannot be read: {seen}")
    if trial.calls < wanted:
        return replace(trial, message=f"time is up, but abortOn.minCalls asks for {wanted} calls: {seen}")
    if not pods_ready:
        return replace(trial, message=f"time is up, but the canary's pods are not ready: {seen}")
    return replace(trial, stage=CanaryStage.PROMOTED, message=f"promoted: {seen}")


def _added(now: float, before: float) -> float:
    return now - before if now >= before else now


def _sum(one: Mapping[_Label, float], other: Mapping[_Label, float]) -> dict[_Label, float]:
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in {**one, **other}}
