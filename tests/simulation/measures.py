"""What a run is judged by, and how sure that is over several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulation.gateways import Record
from simulation.traces import capacity

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """One run. ``p99`` and ``mean`` in seconds, of the calls that were answered; ``goodput``: tokens of whole answers
    that came while the arrivals lasted, as a share of what the pods could make in that time; ``failed``: calls without
    an answer; ``told``: seconds until a refused call was told so, at most."""

    p99: float
    mean: float
    goodput: float
    failed: int
    told: float


def judge(records: Sequence[Record], speeds: tuple[float, ...], seconds: float) -> Result:
    answered = np.array([record.seconds for record in records if record.ok])
    tokens = sum(record.arrival.tokens for record in records if record.ok and record.ended <= seconds)
    return Result(
        p99=float(np.percentile(answered, 99)),
        mean=float(answered.mean()),
        goodput=tokens / (capacity(speeds) * seconds),
        failed=sum(not record.ok for record in records),
        told=max((record.seconds for record in records if record.refused is not None), default=0.0),
    )


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds with its 95% interval."""

    value: float
    low: float
    high: float


def estimate(values: Sequence[float]) -> Estimate:
    """By the percentile bootstrap, which assumes no shape; the same answer each time."""
    sample = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).choice(sample, (RESAMPLES, len(sample))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(sample.mean()), float(low), float(high))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Of the sums of pairs that met the same arrivals."""
    top, bottom = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    drawn = np.random.default_rng(0).integers(len(top), size=(RESAMPLES, len(top)))
    low, high = np.percentile(top[drawn].sum(axis=1) / bottom[drawn].sum(axis=1), [2.5, 97.5])
    return Estimate(float(top.sum() / bottom.sum()), float(low), float(high))
