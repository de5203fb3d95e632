"""When a canary is promoted, and when it is dropped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.config import Role
from recsys_operator.api.models import Canary
from recsys_operator.api.status import CanaryStage
from recsys_operator.reconcile.canary_verdict import Counters, Finding, Trial, judge, percentile
from recsys_operator.reconcile.durations import seconds
from recsys_operator.reconcile.gateway_counters import counters, parse_text, parse_vector

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INFINITE = float("inf")


def canary(**fields: Any) -> Canary:
    model = {"uri": "hf://test/next"}
    abort_on = {"errorRate": 0.1, "p95Seconds": 2.0, "minCalls": 20}
    return Canary.model_validate({"model": model, "promoteAfter": "30m", "abortOn": abort_on, **fields})


def finding(ok: int = 0, slow: int = 0, **failed: int) -> Finding:
    """``slow`` of the good calls took 4 s, the others half a second."""
    added = Counters({"ok": ok, **failed}, {1.0: ok - slow, 4.0: ok, INFINITE: ok})
    return Finding(added, added.buckets)


def begun(**fields: Any) -> Trial:
    return Trial(started_at=NOW, **fields)


def test_the_clock_starts_when_the_pods_are_ready() -> None:
    waiting = judge(canary(), Trial(), finding(), pods_ready=False, now=NOW)
    started = judge(canary(), waiting, finding(), pods_ready=True, now=NOW + timedelta(hours=2))

    assert (waiting.started_at, started.started_at) == (None, NOW + timedelta(hours=2))
    assert started.stage is CanaryStage.TRIAL


def test_a_canary_that_behaves_is_promoted_after_its_time() -> None:
    early = judge(canary(), begun(), finding(ok=50), pods_ready=True, now=NOW + timedelta(minutes=29))
    late = judge(canary(), early, finding(ok=50), pods_ready=True, now=NOW + timedelta(minutes=30))

    assert (early.stage, late.stage) == (CanaryStage.TRIAL, CanaryStage.PROMOTED)
    assert late.calls == 100
    assert "100 calls, 0 failed" in late.message


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        pytest.param(finding(ok=17, unavailable=3), "3 of 20 calls failed", id="too many failures"),
        pytest.param(finding(ok=40, slow=4), "4 s only", id="too slow"),
    ],
)
def test_a_canary_that_does_not_is_aborted_at_once(seen: Finding, why: str) -> None:
    trial = judge(canary(), begun(), seen, pods_ready=True, now=NOW + timedelta(seconds=10))

    assert trial.stage is CanaryStage.ABORTED
    assert why in trial.message


def test_nothing_is_judged_by_a_handful_of_calls() -> None:
    trial = judge(canary(), begun(), finding(ok=1, timeout=9), pods_ready=True, now=NOW)
    assert trial.stage is CanaryStage.TRIAL


@pytest.mark.parametrize(
    ("seen", "pods_ready", "why"),
    [
        pytest.param(None, True, "cannot be read", id="blind"),
        pytest.param(finding(ok=3), True, "minCalls", id="without calls"),
        pytest.param(finding(ok=30), False, "not ready", id="without pods"),
    ],
)
def test_nothing_is_promoted(seen: Finding | None, pods_ready: bool, why: str) -> None:
    trial = judge(canary(), begun(), seen, pods_ready=pods_ready, now=NOW + timedelta(hours=1))

    assert trial.stage is CanaryStage.TRIAL
    assert why in trial.message


def test_without_criteria_time_alone_promotes() -> None:
    trial = judge(canary(abortOn=None), begun(), None, pods_ready=True, now=NOW + timedelta(hours=1))
    assert trial.stage is CanaryStage.PROMOTED


def test_calls_that_say_nothing_about_a_model_do_not_count() -> None:
    trial = judge(canary(), begun(), finding(ok=5, refused=90, cancelled=9), pods_ready=True, now=NOW)
    assert (trial.calls, trial.failures, trial.stage) == (5, 0, CanaryStage.TRIAL)


@pytest.mark.parametrize("stage", [CanaryStage.PROMOTED, CanaryStage.ABORTED])
def test_a_verdict_is_final(stage: CanaryStage) -> None:
    trial = Trial(stage=stage, started_at=NOW, message="said")
    assert judge(canary(), trial, finding(unavailable=99), pods_ready=True, now=NOW + timedelta(days=1)) == trial


def test_a_gateway_that_starts_anew_counts_from_zero() -> None:
    before, after = Counters({"ok": 100}, {1.0: 100}), Counters({"ok": 7}, {1.0: 7})
    assert after.since(before) == Counters({"ok": 7}, {1.0: 7})


totals = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@given(steps=totals, restarts=st.sets(st.integers(0, 7)))
def test_whatever_restarts_come_between_no_call_is_counted_twice_or_lost(steps: list[int], restarts: set[int]) -> None:
    running, before, counted = 0, Counters({"ok": 0}), 0.0
    for number, calls in enumerate(steps):
        if number in restarts and calls < running:
            running = 0  # the process starts anew, and is seen again before it has counted as far as it was
        running += calls
        after = Counters({"ok": running})
        counted += after.since(before).calls
        before = after

    assert counted == sum(steps)


@pytest.mark.parametrize(
    ("buckets", "p95"),
    [
        ({}, None),
        ({1.0: 0, INFINITE: 0}, None),
        ({1.0: 95, 2.0: 100, INFINITE: 100}, 1.0),
        ({1.0: 94, 2.0: 100, INFINITE: 100}, 2.0),
        ({1.0: 50, INFINITE: 100}, INFINITE),
    ],
)
def test_a_percentile_is_never_better_than_the_truth(buckets: dict[float, float], p95: float | None) -> None:
    assert percentile(buckets, 0.95) == p95


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("500ms", 0.5)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


TEXT = """\
# TYPE recsys_gateway_upstream_requests counter
recsys_gateway_upstream_requests_total{role="base",pool="a",track="canary",outcome="ok"} 12
recsys_gateway_upstream_requests_total{role="base",pool="a",track="canary",outcome="timeout"} 2
recsys_gateway_upstream_requests_total{role="base",pool="a",track="stable",outcome="ok"} 900
recsys_gateway_upstream_requests_total{role="tuned",pool="a",track="canary",outcome="ok"} 70
# TYPE recsys_gateway_upstream_seconds histogram
recsys_gateway_upstream_seconds_bucket{role="base",pool="a",track="canary",le="1.0"} 10
recsys_gateway_upstream_seconds_bucket{role="base",pool="a",track="canary",le="+Inf"} 12
recsys_gateway_upstream_seconds_count{role="base",pool="a",track="canary"} 12
recsys_gateway_upstream_seconds_sum{role="base",pool="a",track="canary"} 7
"""


def test_a_gateways_metrics_are_read_for_the_canary_of_one_role() -> None:
    assert counters(parse_text(TEXT), Role.BASE) == Counters({"ok": 12, "timeout": 2}, {1.0: 10, INFINITE: 12})


def test_prometheus_answer_is_read_by_target() -> None:
    series = {"__name__": "recsys_gateway_upstream_requests_total", "role": "base", "track": "canary", "outcome": "ok"}
    result = [{"metric": {**series, "pod": pod}, "value": [0, "3"]} for pod in ("g-0", "g-1")]
    found = parse_vector({"data": {"resultType": "vector", "result": result}})

    assert {pod: counters(samples, Role.BASE).calls for pod, samples in found.items()} == {"g-0": 3, "g-1": 3}
