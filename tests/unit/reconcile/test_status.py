"""What is written to status, and when its times move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from example_systems import example
from recsys_operator.api.status import ConditionStatus, ConditionType, RecommenderSystemStatus
from recsys_operator.components.observed import Observed
from recsys_operator.reconcile.announcements import of_change
from recsys_operator.reconcile.conditions import Verdict, invalid_spec
from recsys_operator.reconcile.status import endpoint, readable_status, status, status_of_invalid

Manifest = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SYSTEM = example("minimal")


def ready(is_ready: bool, reason: str = "AllReady") -> list[Verdict]:
    return [Verdict(ConditionType.READY, ConditionStatus.TRUE if is_ready else ConditionStatus.FALSE, reason)]


def written(verdicts: list[Verdict], before: RecommenderSystemStatus | None, now: datetime) -> RecommenderSystemStatus:
    return RecommenderSystemStatus.model_validate(status(SYSTEM, Observed(), {}, verdicts, before, {}, now))


def test_a_time_moves_only_when_the_status_flips() -> None:
    first = written(ready(False, "Creating"), None, NOW)
    same = written(ready(False, "PodsNotReady"), first, NOW + timedelta(minutes=1))
    flipped = written(ready(True), same, NOW + timedelta(minutes=2))

    times = [one.conditions[0].last_transition_time for one in (first, same, flipped)]
    assert times == [NOW, NOW, NOW + timedelta(minutes=2)]


def test_the_same_findings_give_the_same_status_so_that_nothing_is_written() -> None:
    first = written(ready(True), None, NOW)
    assert written(ready(True), first, NOW + timedelta(hours=1)) == first


def test_pools_that_have_no_pods_yet_are_told_as_wanted() -> None:
    found = written(ready(False, "Creating"), None, NOW)

    assert found.base == "0/1"
    assert [(line.role, line.pool, line.desired, line.ready) for line in found.models] == [("base", "default", 1, 0)]


def test_of_an_unreadable_spec_what_was_known_stays() -> None:
    before = status(SYSTEM, Observed(), {}, ready(True), None, {}, NOW)
    after = status_of_invalid(before, 2, invalid_spec("spec.models: give one"), NOW)

    assert after["base"] == "0/1"
    assert after["observedGeneration"] == 2
    assert after["conditions"][0]["reason"] == "InvalidSpec"


def test_a_status_of_another_version_is_written_anew() -> None:
    assert readable_status({"conditions": "something else"}) is None


def part(kind: str, **body: Any) -> Manifest:
    labels = {"app.kubernetes.io/component": "gateway"}
    return {"kind": kind, "metadata": {"name": "shop-gateway", "namespace": "shop", "labels": labels}, **body}


SERVICE = part("Service", spec={"ports": [{"port": 80}]})


@pytest.mark.parametrize(
    ("children", "address"),
    [
        ([], None),
        ([SERVICE], "http://shop-gateway.shop.svc"),
        ([part("Service", spec={"ports": [{"port": 8080}]})], "http://shop-gateway.shop.svc:8080"),
        ([SERVICE | {"status": {"loadBalancer": {"ingress": [{"ip": "10.1.2.3"}]}}}], "http://10.1.2.3"),
        ([SERVICE, part("Ingress", spec={"rules": [{"host": "shop.example"}]})], "http://shop.example"),
        (
            [SERVICE, part("Ingress", spec={"rules": [{"host": "shop.example"}], "tls": [{}]})],
            "https://shop.example",
        ),
        ([SERVICE, part("HTTPRoute", spec={"hostnames": ["shop.example"]})], "http://shop.example"),
    ],
)
def test_the_endpoint_is_the_outermost_address(children: list[Manifest], address: str | None) -> None:
    assert endpoint(children) == address


def test_events_tell_steps_and_not_states() -> None:
    first = written(ready(False, "Creating"), None, NOW)
    second = written(ready(True), first, NOW)

    assert [one.reason for one in of_change(None, first)] == ["Created"]
    assert [one.reason for one in of_change(first, second)] == ["Ready"]
    assert of_change(second, second) == []


def test_what_is_stuck_is_told_once_as_a_warning() -> None:
    stuck = [
        *ready(False, "ImagePullFailed"),
        Verdict(ConditionType.PROGRESSING, ConditionStatus.FALSE, "ImagePullFailed"),
    ]
    before = written(ready(True), None, NOW)
    after = written(stuck, before, NOW)

    assert [(one.reason, one.is_warning) for one in of_change(before, after)] == [("ImagePullFailed", True)]
    assert of_change(after, after) == []
