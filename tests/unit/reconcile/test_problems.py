"""What kubelet and scheduler say -> what a person is told to do."""

from __future__ import annotations

from typing import Any

import pytest
from recsys_operator.reconcile.problems import claim_problem, job_problem, pod_problem, wants_events

Manifest = dict[str, Any]


def pod(waiting: Manifest | None = None, *, last: Manifest | None = None, **status: Any) -> Manifest:
    if waiting is not None or last is not None:
        container: Manifest = {"name": "engine", "image": "registry.test/engine:1", "state": {"waiting": waiting or {}}}
        if last is not None:
            container["lastState"] = {"terminated": last}
        status["containerStatuses"] = [container]
    return {
        "kind": "Pod",
        "metadata": {"name": "shop-base-0", "namespace": "shop", "uid": "1"},
        "status": {"phase": "Pending", **status},
    }


def unschedulable(message: str) -> Manifest:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


def event(reason: str, message: str, at: str = "2026-01-01T00:00:00Z") -> Manifest:
    return {"reason": reason, "message": message, "lastTimestamp": at, "metadata": {}}


@pytest.mark.parametrize(
    ("body", "reason", "told"),
    [
        pytest.param(
            pod({"reason": "ImagePullBackOff", "message": "Back-off pulling image"}),
            "ImagePullFailed",
            ["registry.test/engine:1", "imageRegistry", "imagePullSecrets", "Back-off pulling image"],
            id="image",
        ),
        pytest.param(
            pod({"reason": "CreateContainerConfigError", "message": 'secret "hub-token" not found'}),
            "MissingSecret",
            ["hub-token", "kubectl -n shop create secret generic hub-token"],
            id="secret",
        ),
        pytest.param(
            pod({"reason": "CreateContainerConfigError", "message": 'configmap "ca" not found'}),
            "MissingConfigMap",
            ["ca", "kubectl -n shop create configmap ca"],
            id="config map",
        ),
        pytest.param(
            pod({"reason": "CreateContainerConfigError", "message": "couldn't find key token in Secret shop/hub"}),
            "MissingSecretKey",
            ["hub", "no key token"],
            id="key of a secret",
        ),
        pytest.param(
            pod({"reason": "CrashLoopBackOff"}, last={"exitCode": 2, "message": "no such model"}),
            "CrashLoop",
            ["exit code 2", "no such model", "kubectl -n shop logs shop-base-0 -c engine --previous"],
            id="crash loop",
        ),
        pytest.param(
            pod({"reason": "CrashLoopBackOff"}, last={"exitCode": 137, "reason": "OOMKilled"}),
            "OutOfMemory",
            ["resources.limits.memory"],
            id="out of memory",
        ),
        pytest.param(
            unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
            "InsufficientGpu",
            ["nvidia.com/gpu", "shop-base-0", "lower replicas"],
            id="GPUs",
        ),
        pytest.param(
            unschedulable("pod has unbound immediate PersistentVolumeClaims"), "UnboundVolume", ["pvc"], id="volume"
        ),
        pytest.param(
            unschedulable('persistentvolumeclaim "models" not found'), "MissingVolumeClaim", ["models"], id="claim"
        ),
        pytest.param(
            unschedulable("0/3 nodes are available: 3 Insufficient cpu."),
            "Unschedulable",
            ["Insufficient cpu"],
            id="cpu",
        ),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="low on disk"), "Evicted", ["low on disk"], id="evicted"
        ),
    ],
)
def test_what_keeps_a_pod_from_serving_is_told_with_what_to_do(body: Manifest, reason: str, told: list[str]) -> None:
    problem = pod_problem(body)

    assert problem is not None
    assert problem.reason == reason
    assert [word for word in told if word not in problem.message] == []


@pytest.mark.parametrize(
    ("seen", "reason", "word"),
    [
        (event("FailedMount", 'MountVolume.SetUp failed: secret "keys" not found'), "MissingSecret", "keys"),
        (event("FailedMount", "references non-existent secret key: token"), "MissingSecretKey", "token"),
        (event("FailedAttachVolume", "Multi-Attach error"), "VolumeNotMounted", "Multi-Attach"),
        (event("Unhealthy", "Startup probe failed: 503"), "ProbeFailing", "503"),
    ],
)
def test_what_only_events_tell(seen: Manifest, reason: str, word: str) -> None:
    body = pod({"reason": "ContainerCreating"})
    problem = pod_problem(body, [event("Scheduled", "assigned"), seen])

    assert wants_events(body)
    assert problem is not None
    assert (problem.reason, word in problem.message) == (reason, True)


def test_the_latest_event_counts() -> None:
    older = event("Unhealthy", "Startup probe failed: 503", at="2026-01-01T00:00:00Z")
    newer = event("FailedMount", 'secret "keys" not found', at="2026-01-01T00:01:00Z")

    problem = pod_problem(pod({"reason": "ContainerCreating"}), [older, newer])
    assert problem is not None
    assert problem.reason == "MissingSecret"


def test_a_pod_that_serves_has_no_problem_whatever_its_past() -> None:
    body = pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}])

    assert pod_problem(body, [event("Unhealthy", "Startup probe failed: 503")]) is None
    assert not wants_events(body)


def test_a_pod_that_is_just_starting_has_no_problem() -> None:
    assert pod_problem(pod({"reason": "ContainerCreating"})) is None


def claim(phase: str = "Pending") -> Manifest:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shop-milvus", "namespace": "shop", "uid": "2"},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (event("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'), "MissingStorageClass"),
        (
            event("FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
            "UnboundVolume",
        ),
        (event("ProvisioningFailed", "quota exceeded"), "ProvisioningFailed"),
    ],
)
def test_why_a_claim_has_no_volume(seen: Manifest, reason: str) -> None:
    problem = claim_problem(claim(), [seen])

    assert problem is not None
    assert problem.reason == reason


def test_a_claim_that_waits_for_its_pod_or_is_bound_has_no_problem() -> None:
    waiting = event("WaitForFirstConsumer", "waiting for first consumer to be created before binding")

    assert claim_problem(claim(), [waiting]) is None
    assert claim_problem(claim("Bound"), [event("ProvisioningFailed", "quota exceeded")]) is None


def test_a_job_that_gave_up_is_told_with_the_last_words_of_its_pod() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many"}
    job = {"kind": "Job", "metadata": {"name": "load", "namespace": "shop"}, "status": {"conditions": [failed]}}
    ended = {"terminated": {"exitCode": 1, "message": "items.csv: no column id"}}
    pods = [{"metadata": {"name": "load-x"}, "status": {"containerStatuses": [{"name": "load", "state": ended}]}}]

    problem = job_problem(job, pods)
    assert problem is not None
    assert problem.reason == "JobFailed"
    assert "items.csv: no column id" in problem.message
    assert "kubectl -n shop delete job load" in problem.message


def test_long_words_are_cut() -> None:
    problem = pod_problem(pod({"reason": "CreateContainerConfigError", "message": "x" * 9999}))
    assert problem is not None
    assert len(problem.message) < 500
