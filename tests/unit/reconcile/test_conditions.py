"""From children to conditions: Ready never speaks for what is not there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_operator.api.status import ConditionStatus, ConditionType
from recsys_operator.components.manifest import ChildKey, key_of
from recsys_operator.reconcile.conditions import Refused, Sight, Verdict, conditions, invalid_spec
from recsys_operator.reconcile.problems import Problem
from recsys_operator.reconcile.workloads import Surroundings

Manifest = dict[str, Any]


def workload(
    name: str, component: str, kind: str = "Deployment", *, track: str = "stable", replicas: int = 1
) -> Manifest:
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"app.kubernetes.io/component": component, "recsys.io/track": track},
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}},
    }


def live(manifest: Manifest, *, pods: int = 1, updated: int = 1, available: int = 1, seen: int = 1) -> Manifest:
    body = copy.deepcopy(manifest)
    body["metadata"] |= {"generation": 1, "uid": f"uid-{manifest['metadata']['name']}"}
    body["status"] = {
        "observedGeneration": seen,
        "replicas": pods,
        "updatedReplicas": updated,
        "availableReplicas": available,
    }
    return body


def job(kind: str | None) -> Manifest:
    body = live(workload("load", "catalog", "Job"))
    body["status"] = {"conditions": [{"type": kind, "status": "True", "message": "it ended"}] if kind else []}
    return body


GATEWAY, MODEL = workload("gateway", "gateway"), workload("base", "model")
LOAD = workload("load", "catalog", "Job")


def judge(*bodies: Manifest, desired: tuple[Manifest, ...] = (GATEWAY, MODEL), **sight: Any) -> dict[str, Verdict]:
    children = {key_of(body): body for body in bodies}
    return {verdict.type.value: verdict for verdict in conditions(Sight(desired, children, **sight))}


def test_all_there_is_ready_complete_and_as_asked() -> None:
    found = judge(live(GATEWAY), live(MODEL))

    assert {name: verdict.status.value for name, verdict in found.items()} == {
        "Ready": "True",
        "Progressing": "False",
        "Degraded": "False",
        "ModelsReady": "True",
        "GatewayReady": "True",
    }


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(live(MODEL, seen=0), "RolloutInProgress", id="its controller has not seen the new template"),
        pytest.param(live(MODEL, updated=0), "RolloutInProgress", id="its pods are of the version before"),
        pytest.param(live(MODEL, pods=2), "RolloutInProgress", id="a pod of the version before is left"),
        pytest.param(live(MODEL, available=0), "PodsNotReady", id="its pod is not ready"),
        pytest.param(None, "Creating", id="it is not there"),
    ],
)
def test_what_is_on_its_way_is_not_ready_but_progressing(model: Manifest | None, reason: str) -> None:
    found = judge(live(GATEWAY), *([model] if model else []))

    assert (found["Ready"].status, found["Ready"].reason) == (ConditionStatus.FALSE, reason)
    assert found["ModelsReady"].status is ConditionStatus.FALSE
    assert found["GatewayReady"].status is ConditionStatus.TRUE
    assert (found["Progressing"].status, found["Progressing"].reason) == (ConditionStatus.TRUE, reason)


def test_ready_tells_the_first_thing_that_fails_in_the_order_in_which_parts_wait_for_each_other() -> None:
    found = judge(live(GATEWAY, available=0), live(MODEL), job("Failed"), desired=(GATEWAY, MODEL, LOAD))

    assert found["CatalogLoaded"].reason == "JobFailed"
    assert found["Ready"].reason == "JobFailed"


def test_a_job_that_tries_again_tells_what_its_last_pod_said() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "no column id"}}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "load-0", "namespace": "shop", "labels": {"app": "load"}},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "load", "state": ended}]},
    }
    retrying = job(None)
    retrying["status"]["failed"] = 1
    found = judge(retrying, desired=(LOAD,), around=Surroundings([pod]))

    assert found["CatalogLoaded"].reason == "JobRetrying"
    assert "no column id" in found["CatalogLoaded"].message
    assert found["Progressing"].status is ConditionStatus.TRUE


def test_a_pod_that_needs_somebody_is_told_instead_of_a_rollout() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    pod = {
        "kind": "Pod",
        "metadata": {"name": "base-0", "namespace": "shop", "labels": {"app": "base"}},
        "status": {"containerStatuses": [{"name": "engine", "image": "no/such:1", "state": {"waiting": waiting}}]},
    }
    found = judge(live(GATEWAY), live(MODEL, available=0), around=Surroundings([pod]))

    assert found["Ready"].reason == found["ModelsReady"].reason == "ImagePullFailed"
    assert found["Progressing"].status is ConditionStatus.FALSE
    assert found["Degraded"].status is ConditionStatus.TRUE


def test_a_rollout_may_take_away_what_it_is_allowed_to() -> None:
    pool = workload("base", "model", replicas=3)
    pool["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 1}}

    enough = live(pool, pods=3, updated=3, available=2)
    too_few = live(pool, pods=3, updated=3, available=1)
    assert judge(live(GATEWAY), enough, desired=(GATEWAY, pool))["Ready"].status is ConditionStatus.TRUE
    assert judge(live(GATEWAY), too_few, desired=(GATEWAY, pool))["Ready"].status is ConditionStatus.FALSE


def test_a_canary_on_trial_takes_nothing_from_ready() -> None:
    canary = workload("base-canary", "model", track="canary")
    found = judge(live(GATEWAY), live(MODEL), desired=(GATEWAY, MODEL, canary))

    assert found["Ready"].status is ConditionStatus.TRUE


@pytest.mark.parametrize(
    ("refused", "reason"),
    [("Forbidden", "Forbidden"), ("Invalid", "ChildRefused"), ("NameTaken", "NameTaken")],
)
def test_a_child_that_the_api_server_refuses_is_told(refused: str, reason: str) -> None:
    found = judge(
        live(GATEWAY), live(MODEL), refused=[Refused(ChildKey("apps", "Deployment", "base"), refused, "exceeded quota")]
    )

    assert found["Ready"].reason == found["ModelsReady"].reason == reason
    assert "exceeded quota" in found["ModelsReady"].message


def test_what_is_left_out_degrades_without_taking_ready() -> None:
    found = judge(live(GATEWAY), live(MODEL), notes=[Problem("MonitoringApiAbsent", "no PodMonitor")])

    assert found["Ready"].status is ConditionStatus.TRUE
    assert found["Degraded"] == Verdict(
        ConditionType.DEGRADED, ConditionStatus.TRUE, "MonitoringApiAbsent", "no PodMonitor"
    )


def test_a_part_that_the_system_has_not_has_no_condition() -> None:
    assert "CatalogLoaded" not in judge(live(GATEWAY), live(MODEL))


def test_paused_is_told_and_ready_stays_what_it_is() -> None:
    found = judge(live(GATEWAY), live(MODEL), is_paused=True)

    assert found["Progressing"].reason == "Paused"
    assert found["Ready"].status is ConditionStatus.TRUE


def test_an_unreadable_spec_is_not_ready_and_says_that_nothing_was_changed() -> None:
    ready = invalid_spec("spec.models: give one")[0]

    assert (ready.type, ready.status, ready.reason) == (ConditionType.READY, ConditionStatus.FALSE, "InvalidSpec")
    assert "nothing was changed" in ready.message


counts = st.integers(0, 3)


@given(pods=counts, updated=counts, available=counts, seen=st.integers(0, 1), replicas=counts)
def test_ready_is_never_true_while_pods_of_the_newest_version_are_missing(
    pods: int, updated: int, available: int, seen: int, replicas: int
) -> None:
    pool = workload("base", "model", replicas=replicas)
    found = judge(
        live(GATEWAY),
        live(pool, pods=pods, updated=updated, available=available, seen=seen),
        desired=(GATEWAY, pool),
    )

    is_complete = seen == 1 and updated >= replicas and pods <= updated and available >= replicas
    assert (found["Ready"].status is ConditionStatus.TRUE) == is_complete
