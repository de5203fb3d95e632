"""Pure: what keeps a pod, a claim or a Job from its work, in one word for programs and a sentence that says what to do.

The words of kubelet and scheduler are read, and quoted at the end of the message. Where several things are wrong, the
one that has to be done first is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from recsys_operator.components.manifest import Manifest

_PULL = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_MISSING_OBJECT = re.compile(r'\b(secret|configmap)s? "([^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(r"couldn't find key (\S+) in (Secret|ConfigMap) ([^/\s]+)/(\S+)")
_MISSING_FILE_KEY = re.compile(r"references non-existent (?:secret|config) key: (\S+)", re.IGNORECASE)
_MISSING_CLASS = re.compile(r'storageclass(?:\.storage\.k8s\.io)? "([^"]+)" not found', re.IGNORECASE)
_MISSING_CLAIM = re.compile(r'persistentvolumeclaim "([^"]+)" not found', re.IGNORECASE)
_QUOTED = 300


class Problem(NamedTuple):
    reason: str
    message: str


def pod_problem(pod: Manifest, events: Sequence[Manifest] = ()) -> Problem | None:
    """None: nothing is known to be wrong; it may just be starting."""
    name = pod["metadata"]["name"]
    return (
        _unschedulable(name, pod)
        or _container_problem(name, pod)
        or _evicted(name, pod)
        or (_event_problem(name, pod, events) if not is_ready(pod) else None)
    )


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def wants_events(body: Manifest) -> bool:
    """Whether only the events of ``body`` could tell what is wrong with it."""
    if body["kind"] == "PersistentVolumeClaim":
        return bool(body.get("status", {}).get("phase") == "Pending")
    if body["kind"] != "Pod" or "deletionTimestamp" in body["metadata"]:
        return False
    is_over = body.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not is_over and not is_ready(body) and pod_problem(body) is None


def claim_problem(claim: Manifest, events: Sequence[Manifest] = ()) -> Problem | None:
    name, phase = claim["metadata"]["name"], claim.get("status", {}).get("phase")
    if phase == "Lost":
        return Problem("VolumeLost", f"the volume behind claim {name} is gone: restore it, or delete the claim")
    if phase != "Pending":
        return None
    for event in _latest_first(events):
        message = _message(event)
        if missing := _MISSING_CLASS.search(message):
            return Problem(
                "MissingStorageClass",
                f"claim {name} asks for storage class {missing[1]}, which the cluster lacks: create it, or delete the "
                f"claim and set storageClassName to one that kubectl get storageclass lists ({_quoted(message)})",
            )
        if event.get("reason") == "FailedBinding":
            return Problem(
                "UnboundVolume",
                f"claim {name} has no volume: set storageClassName, mark a storage class as the cluster's default, or "
                f"create a PersistentVolume that fits ({_quoted(message)})",
            )
        if event.get("reason") == "ProvisioningFailed":
            return Problem("ProvisioningFailed", f"no volume could be made for claim {name}: {_quoted(message)}")
    return None


def job_problem(job: Manifest, pods: Iterable[Manifest]) -> Problem | None:
    """A Job that gave up; with the last words of its last pod."""
    failed = _condition(job, "Failed")
    if failed is None:
        return None
    name = job["metadata"]["name"]
    words = last_words(pods) or str(failed.get("message") or failed.get("reason") or "")
    return Problem(
        "JobFailed",
        f"Job {name} failed: {_quoted(words)}; see kubectl -n {job['metadata']['namespace']} logs job/{name}, put it "
        f"right, then start it again with kubectl -n {job['metadata']['namespace']} delete job {name}",
    )


def _condition(body: Manifest, kind: str) -> dict[str, Any] | None:
    conditions: Iterable[dict[str, Any]] = body.get("status", {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def last_words(pods: Iterable[Manifest]) -> str:
    """What the containers that ended in failure last wrote to their termination log; "" where they wrote nothing."""
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    for pod in ordered:
        for status in _container_statuses(pod):
            ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
            if ended and ended.get("exitCode") and ended.get("message"):
                return _quoted(str(ended["message"]))
    return ""


def _unschedulable(name: str, pod: Manifest) -> Problem | None:
    conditions = pod.get("status", {}).get("conditions") or ()
    found = next((one for one in conditions if one["type"] == "PodScheduled" and one["status"] == "False"), None)
    if found is None or found.get("reason") != "Unschedulable":
        return None
    message = str(found.get("message", ""))
    if missing := _MISSING_CLAIM.search(message):
        return Problem("MissingVolumeClaim", f"pod {name} waits for claim {missing[1]}, which is not there: create it")
    if "unbound immediate PersistentVolumeClaims" in message:
        return Problem("UnboundVolume", f"pod {name} waits for a volume: see kubectl describe pvc ({_quoted(message)})")
    if short := re.search(r"Insufficient ([\w.-]+/[\w.-]*gpu[\w.-]*)", message):
        return Problem(
            "InsufficientGpu",
            f"no node has the {short[1]} free that pod {name} asks for: add GPU nodes, or lower replicas or "
            f"resources of its pool ({_quoted(message)})",
        )
    return Problem(
        "Unschedulable",
        f"no node takes pod {name}: add nodes, or change resources, nodeSelector or tolerations ({_quoted(message)})",
    )


def _container_problem(name: str, pod: Manifest) -> Problem | None:
    for status in _container_statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
        if reason in _PULL:
            return Problem(
                "ImagePullFailed",
                f"image {status.get('image') or 'of ' + status['name']} of pod {name} cannot be pulled: check its "
                f"name, imageRegistry and imagePullSecrets{_in_brackets(message)}",
            )
        if reason in ("CreateContainerConfigError", "CreateContainerError"):
            return _missing_reference(name, pod, message) or Problem(
                "ContainerConfigError", f"a container of pod {name} cannot be made: {_quoted(message)}"
            )
        if reason in ("CrashLoopBackOff", "RunContainerError"):
            return _crash(name, pod, status, message)
    return None


def _missing_reference(name: str, pod: Manifest, message: str) -> Problem | None:
    namespace = pod["metadata"]["namespace"]
    if missing := _MISSING_OBJECT.search(message):
        kind, wanted = missing[1].lower(), missing[2]
        if kind == "secret":
            how = f"kubectl -n {namespace} create secret generic {wanted} --from-file=KEY=FILE"
            return Problem(
                "MissingSecret", f"pod {name} waits for secret {wanted}, which is not there: create it, with {how}"
            )
        how = f"kubectl -n {namespace} create configmap {wanted} --from-file=FILE"
        return Problem(
            "MissingConfigMap", f"pod {name} waits for ConfigMap {wanted}, which is not there: create it, with {how}"
        )
    if missing := _MISSING_KEY.search(message):
        key, kind, wanted = missing[1], missing[2], missing[4]
        return Problem(f"Missing{kind}Key", f"{kind} {wanted}, which pod {name} needs, has no key {key}: add it")
    if missing := _MISSING_FILE_KEY.search(message):
        return Problem(
            "MissingSecretKey",
            f"a secret or ConfigMap that pod {name} mounts has no key {missing[1]}: add it ({_quoted(message)})",
        )
    return None


def _crash(name: str, pod: Manifest, status: dict[str, Any], message: str) -> Problem:
    ended = (status.get("lastState") or {}).get("terminated") or {}
    namespace = pod["metadata"]["namespace"]
    logs = f"kubectl -n {namespace} logs {name} -c {status['name']} --previous"
    if ended.get("reason") == "OOMKilled":
        return Problem(
            "OutOfMemory",
            f"container {status['name']} of pod {name} was killed for want of memory: raise resources.limits.memory",
        )
    words = str(ended.get("message") or message)
    code = f" with exit code {ended['exitCode']}" if "exitCode" in ended else ""
    return Problem(
        "CrashLoop",
        f"container {status['name']} of pod {name} ends again and again{code}: see {logs}" + _in_brackets(words),
    )


def _evicted(name: str, pod: Manifest) -> Problem | None:
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or status.get("reason") != "Evicted":
        return None
    return Problem("Evicted", f"pod {name} was evicted: {_quoted(str(status.get('message', '')))}")


def _event_problem(name: str, pod: Manifest, events: Sequence[Manifest]) -> Problem | None:
    for event in _latest_first(events):
        reason, message = event.get("reason"), _message(event)
        if reason in ("FailedMount", "FailedAttachVolume"):
            return _missing_reference(name, pod, message) or Problem(
                "VolumeNotMounted", f"a volume of pod {name} cannot be mounted: {_quoted(message)}"
            )
        if reason == "Unhealthy":
            return Problem(
                "ProbeFailing",
                f"pod {name} runs but does not answer its probe: see kubectl -n {pod['metadata']['namespace']} logs "
                f"{name}{_in_brackets(message)}",
            )
        if reason == "FailedCreatePodSandBox":
            return Problem("SandboxFailed", f"pod {name} cannot be set up: {_quoted(message)}")
    return None


def _container_statuses(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _latest_first(events: Sequence[Manifest]) -> list[Manifest]:
    return sorted(events, key=_time, reverse=True)


def _time(event: Manifest) -> str:
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return str(next((time for time in times if time), ""))


def _message(event: Manifest) -> str:
    return str(event.get("message") or event.get("note") or "")


def _in_brackets(message: str) -> str:
    return f" ({_quoted(message)})" if message else ""


def _quoted(message: str) -> str:
    """On one line and not endless."""
    line = " ".join(message.split())
    return line if len(line) <= _QUOTED else line[: _QUOTED - 1] + "…"
