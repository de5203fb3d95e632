"""The trials of a system's canaries: taken from status, brought further by what the gateways counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from recsys_gateway.config import Role, Track

from recsys_operator.api.models import Canary
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import CanaryStage, CanaryStatus, RecommenderSystemStatus
from recsys_operator.components.labels import COMPONENT, ROLE, TRACK, digest
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_identity import by_role
from recsys_operator.reconcile.canary_verdict import Trial, judge
from recsys_operator.reconcile.gateway_counters import CanaryWatch
from recsys_operator.reconcile.status import CanaryRecord
from recsys_operator.reconcile.work_queue import Key
from recsys_operator.reconcile.workloads import available_pods, wanted_pods


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a system's canaries needs of it."""

    key: Key
    system: RecommenderSystem
    children: Sequence[Manifest]
    pods: Sequence[Manifest]
    now: datetime


def records(system: RecommenderSystem, before: RecommenderSystemStatus | None) -> dict[Role, CanaryRecord]:
    """Each role's canary with its trial so far. A canary block that is not the recorded one begins anew."""
    known = {one.role: one for one in (before.canaries if before is not None else ())}
    found = {}
    for role, canary in canaries(system).items():
        mark = digest(canary.model_dump(mode="json", by_alias=True))
        recorded = known.get(role)
        found[role] = _record(recorded) if recorded and recorded.digest == mark else CanaryRecord(mark)
    return found


def canaries(system: RecommenderSystem) -> Mapping[Role, Canary]:
    return {role: model.canary for role, model in by_role(system.spec.models).items() if model.canary is not None}


def stages(known: Mapping[Role, CanaryRecord]) -> dict[Role, CanaryStage]:
    return {role: record.trial.stage for role, record in known.items()}


async def advance(known: Mapping[Role, CanaryRecord], look: Look, watch: CanaryWatch) -> dict[Role, CanaryRecord]:
    """Where a trial is on and the last look is long enough ago, what was counted since then is judged."""
    found = {}
    for role, canary in canaries(look.system).items():
        record = known[role]
        is_on = record.trial.stage is CanaryStage.TRIAL
        if is_on and watch.is_due(look.key, role, record.digest, look.now):
            source = look.system.spec.prometheus
            url = None if source is None else str(source.url)
            finding = await watch.look(look.key, role, record.digest, look.pods, url, look.now)
            trial = judge(canary, record.trial, finding, pods_ready(look.children, role), look.now)
            record = replace(record, trial=trial)
        elif is_on and record.trial.started_at is None:
            record = replace(record, trial=judge(canary, record.trial, None, pods_ready(look.children, role), look.now))
        found[role] = record
    return found


def pods_ready(children: Sequence[Manifest], role: Role) -> bool:
    wanted = {COMPONENT: "model", ROLE: role.value, TRACK: Track.CANARY.value}
    found = [
        child
        for child in children
        if child["kind"] == "Deployment" and wanted.items() <= (child["metadata"].get("labels") or {}).items()
    ]
    return bool(found) and all(available_pods(child) >= max(1, wanted_pods(child)) for child in found)


def _record(recorded: CanaryStatus) -> CanaryRecord:
    trial = Trial(
        recorded.stage,
        recorded.started_at,
        recorded.calls,
        recorded.failures,
        recorded.p95_seconds,
        recorded.message,
    )
    return CanaryRecord(recorded.digest, trial)
