"""Pure: conditions, pools and endpoint -> ``status``; times move only where a condition's status flips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recsys_gateway.config import Role, Track

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import CanaryStatus, Condition, ModelStatus, RecommenderSystemStatus
from recsys_operator.components.canary import model_pools
from recsys_operator.components.labels import COMPONENT
from recsys_operator.components.manifest import ChildKey, Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.reconcile.canary_verdict import Trial
from recsys_operator.reconcile.conditions import Verdict
from recsys_operator.reconcile.workloads import available_pods, wanted_pods

_DEPLOYMENT = ("apps", "Deployment")


@dataclass(frozen=True, slots=True)
class CanaryRecord:
    """A trial and the digest of the canary block that it is of."""

    digest: str
    trial: Trial = field(default_factory=Trial)


def status(
    system: RecommenderSystem,
    observed: Observed,
    children: Mapping[ChildKey, Manifest],
    verdicts: Sequence[Verdict],
    before: RecommenderSystemStatus | None,
    canaries: Mapping[Role, CanaryRecord],
    now: datetime,
) -> dict[str, Any]:
    """As JSON, ready to be written and to be compared with what stands there."""
    models = tuple(_models(system, observed, children))
    found = RecommenderSystemStatus(
        observed_generation=system.metadata.generation,
        endpoint=endpoint(children.values()),
        tuned=_of_role(models, Role.TUNED),
        base=_of_role(models, Role.BASE),
        models=models,
        canaries=tuple(_canary(role, record) for role, record in canaries.items()),
        conditions=_conditions(verdicts, before, system.metadata.generation, now),
    )
    return as_json(found)


def status_of_invalid(
    before: Mapping[str, Any], generation: int | None, verdicts: Sequence[Verdict], now: datetime
) -> dict[str, Any]:
    """Of a resource that cannot be read: what was known of it stays, and the newest generation was looked at."""
    known = readable_status(before)
    kept = {verdict.type for verdict in verdicts}
    conditions = (
        *_conditions(verdicts, known, generation, now),
        *(one for one in (known.conditions if known else ()) if one.type not in kept),
    )
    base = known or RecommenderSystemStatus()
    return as_json(base.model_copy(update={"observed_generation": generation, "conditions": conditions}))


def readable_status(raw: Mapping[str, Any]) -> RecommenderSystemStatus | None:
    """None for what another version wrote and this one does not understand: it is written anew."""
    try:
        return RecommenderSystemStatus.model_validate(raw)
    except ValueError:
        return None


def as_json(found: RecommenderSystemStatus) -> dict[str, Any]:
    return found.model_dump(mode="json", by_alias=True, exclude_none=True)


def endpoint(children: Iterable[Manifest]) -> str | None:
    """Where the gateway answers, from furthest out: Ingress, HTTPRoute, load balancer, else the Service's own name."""
    parts = [child for child in children if (child["metadata"].get("labels") or {}).get(COMPONENT) == "gateway"]
    by_kind = {child["kind"]: child for child in parts}
    outside = _ingress(by_kind.get("Ingress")) or _route(by_kind.get("HTTPRoute"))
    return outside or _service(by_kind.get("Service"))


def _ingress(ingress: Manifest | None) -> str | None:
    rules = (ingress or {}).get("spec", {}).get("rules") or ()
    host = next((rule["host"] for rule in rules if rule.get("host")), None)
    if ingress is None or host is None:
        return None
    return f"{'https' if ingress['spec'].get('tls') else 'http'}://{host}"


def _route(route: Manifest | None) -> str | None:
    """Whether TLS is spoken there is the Gateway's to say, which is not ours: the name alone is sure."""
    names = (route or {}).get("spec", {}).get("hostnames") or ()
    return f"http://{names[0]}" if names else None


def _service(service: Manifest | None) -> str | None:
    if service is None or not service["spec"].get("ports"):
        return None
    port = service["spec"]["ports"][0]["port"]
    suffix = "" if port == 80 else f":{port}"
    balancer = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if balancer and (address := balancer[0].get("hostname") or balancer[0].get("ip")):
        return f"http://{address}{suffix}"
    metadata = service["metadata"]
    return f"http://{metadata['name']}.{metadata['namespace']}.svc{suffix}"


def _models(
    system: RecommenderSystem, observed: Observed, children: Mapping[ChildKey, Manifest]
) -> Iterable[ModelStatus]:
    for pool in model_pools(system, observed):
        live = children.get(ChildKey(*_DEPLOYMENT, pool.name))
        yield ModelStatus(
            role=pool.role,
            pool=pool.settings.name,
            track=pool.track,
            weight=pool.settings.weight,
            desired=_wanted(pool.settings.replicas, live),
            ready=0 if live is None else available_pods(live),
            revision=pool.source.revision,
        )


def _wanted(replicas: int | None, live: Manifest | None) -> int:
    if live is not None:
        return wanted_pods(live)
    return 1 if replicas is None else replicas


def _of_role(models: Iterable[ModelStatus], role: Role) -> str | None:
    lines = [line for line in models if line.role is role and line.track is Track.STABLE]
    return f"{sum(line.ready for line in lines)}/{sum(line.desired for line in lines)}" if lines else None


def _canary(role: Role, record: CanaryRecord) -> CanaryStatus:
    trial = record.trial
    return CanaryStatus(
        role=role,
        digest=record.digest,
        stage=trial.stage,
        started_at=trial.started_at,
        calls=trial.calls,
        failures=trial.failures,
        p95_seconds=trial.p95_seconds,
        message=trial.message,
    )


def _conditions(
    verdicts: Sequence[Verdict], before: RecommenderSystemStatus | None, generation: int | None, now: datetime
) -> tuple[Condition, ...]:
    known = {condition.type: condition for condition in (before.conditions if before is not None else ())}
    return tuple(_condition(verdict, known.get(verdict.type), generation, now) for verdict in verdicts)


def _condition(verdict: Verdict, before: Condition | None, generation: int | None, now: datetime) -> Condition:
    is_same = before is not None and before.status is verdict.status
    return Condition(
        type=verdict.type,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message,
        last_transition_time=before.last_transition_time if is_same and before is not None else now,
        observed_generation=generation,
    )
