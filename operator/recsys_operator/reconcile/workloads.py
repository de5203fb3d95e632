"""Pure: how far a child is. ``None`` where it is as asked; else the reason that it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from recsys_operator.components.manifest import Manifest, kind_of
from recsys_operator.reconcile.problems import Problem, claim_problem, job_problem, last_words, pod_problem


@dataclass(frozen=True, slots=True)
class Shortfall:
    """``moving``: time alone will mend it. Otherwise somebody has to do something."""

    reason: str
    message: str
    moving: bool = True

    @classmethod
    def of(cls, problem: Problem) -> Shortfall:
        return cls(problem.reason, problem.message, moving=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a child's state is read from beside itself: the pods of the system, and events by the UID they speak of."""

    pods: Sequence[Manifest] = ()
    events: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)

    def pods_of(self, workload: Manifest) -> list[Manifest]:
        """By the workload's selector, without those on their way out."""
        wanted = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
        return [
            pod
            for pod in self.pods
            if wanted
            and wanted.items() <= (pod["metadata"].get("labels") or {}).items()
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def events_of(self, body: Manifest) -> Sequence[Manifest]:
        return self.events.get(body["metadata"].get("uid", ""), ())

    def pod_problems(self, workload: Manifest) -> list[Problem]:
        found = (pod_problem(pod, self.events_of(pod)) for pod in self.pods_of(workload))
        return [problem for problem in found if problem is not None]


def shortfall(child: Manifest, around: Surroundings) -> Shortfall | None:
    match kind_of(child).kind:
        case "Deployment":
            return _replicated(child, around, _allowed_to_be_missing(child))
        case "StatefulSet":
            return _replicated(child, around, 0)
        case "Job":
            return _job(child, around)
        case "PersistentVolumeClaim":
            problem = claim_problem(child, around.events_of(child))
            return Shortfall.of(problem) if problem else None
        case "Milvus":
            return _milvus(child)
    return None


def problems(children: Iterable[Manifest], around: Surroundings) -> list[Problem]:
    """What is wrong somewhere, whether or not enough is left to serve."""
    found: list[Problem] = []
    for child in children:
        if child["kind"] in ("Deployment", "StatefulSet"):
            found += around.pod_problems(child)
    return found


def wanted_pods(workload: Manifest) -> int:
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def available_pods(workload: Manifest) -> int:
    status = workload.get("status") or {}
    return int(status.get("availableReplicas") or 0)


def _allowed_to_be_missing(deployment: Manifest) -> int:
    """As many as a rollout may take away: the system answers without them. But one must be there."""
    strategy = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    allowed = strategy.get("maxUnavailable", 0)
    return min(allowed, wanted_pods(deployment) - 1) if isinstance(allowed, int) else 0


def _replicated(workload: Manifest, around: Surroundings, allowed: int) -> Shortfall | None:
    found = _behind(workload, allowed)
    if found is None:
        return None
    wrong = around.pod_problems(workload)
    return Shortfall.of(wrong[0]) if wrong else _stuck(workload) or found


def _behind(workload: Manifest, allowed: int) -> Shortfall | None:
    status, name, wanted = workload.get("status") or {}, workload["metadata"]["name"], wanted_pods(workload)
    if int(status.get("observedGeneration") or 0) < int(workload["metadata"].get("generation") or 0):
        return Shortfall("RolloutInProgress", f"{name}: the new template has not been taken up yet")
    pods, updated, available = int(status.get("replicas") or 0), _updated(workload), available_pods(workload)
    if updated < wanted or pods > updated:
        return Shortfall("RolloutInProgress", f"{name}: {min(updated, wanted)} of {wanted} pods are of the new version")
    if available < wanted - max(0, allowed):
        return Shortfall("PodsNotReady", f"{name}: {available} of {wanted} pods are ready")
    return None


def _updated(workload: Manifest) -> int:
    """A StatefulSet that was never changed counts no updated pods: current and update revision are the same then."""
    status = workload.get("status") or {}
    if workload["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        return int(status.get("replicas") or 0)
    return int(status.get("updatedReplicas") or 0)


def _stuck(workload: Manifest) -> Shortfall | None:
    """What the Deployment's controller found out itself, such as a quota that refuses pods."""
    for condition in (workload.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return Shortfall("PodsRefused", f"{workload['metadata']['name']}: {condition.get('message')}", moving=False)
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            message = f"{workload['metadata']['name']}: pods do not become ready in time; see kubectl describe pod"
            return Shortfall("ProgressDeadlineExceeded", message, moving=False)
    return None


def _job(job: Manifest, around: Surroundings) -> Shortfall | None:
    conditions = (job.get("status") or {}).get("conditions") or ()
    if any(one["type"] == "Complete" and one["status"] == "True" for one in conditions):
        return None
    if failed := job_problem(job, around.pods_of(job)):
        return Shortfall.of(failed)
    if wrong := around.pod_problems(job):
        return Shortfall.of(wrong[0])
    name = job["metadata"]["name"]
    if (job.get("status") or {}).get("failed"):
        words = last_words(around.pods_of(job))
        return Shortfall("JobRetrying", f"Job {name} failed and tries again" + (f": {words}" if words else ""))
    return Shortfall("JobRunning", f"Job {name} is running")


def _milvus(resource: Manifest) -> Shortfall | None:
    """The Milvus Operator's own verdict."""
    status = resource.get("status") or {}
    if status.get("status") == "Healthy":
        return None
    conditions = status.get("conditions") or ()
    words = next((str(one.get("message")) for one in conditions if one["status"] == "False" and one.get("message")), "")
    name = resource["metadata"]["name"]
    return Shortfall(
        "MilvusNotHealthy", f"Milvus {name} is {status.get('status') or 'not taken up yet'}. {words}".strip()
    )
