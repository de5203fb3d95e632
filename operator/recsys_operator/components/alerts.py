"""Alerts on a system's gateway: what is wrong, and what a person does about it."""

from __future__ import annotations

from recsys_gateway.config import Role

from recsys_operator.api.models import Model
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_identity import by_role

DEGRADED_SHARE = 0.05
FAILED_SHARE = 0.05
STALE_SECONDS = 30
"""A gateway that scrapes pods itself calls an answer stale after 2 s; one that asks Prometheus looks every 5 s."""
RECOMMENDATIONS = 'route="/v1/recommendations"'


def series(system: RecommenderSystem, *more: str) -> str:
    """The matchers of a system's series, as our PodMonitor labels them."""
    own = f'namespace="{system.metadata.namespace}"', f'recsys_io_system="{system.metadata.name}"'
    return "{" + ",".join((*own, *more)) + "}"


def alert_groups(system: RecommenderSystem) -> list[Manifest]:
    """Groups of a PrometheusRule. A pool that may go to zero is no fault: its alert is left out."""
    roles = [role for role, model in by_role(system.spec.models).items() if not _may_be_empty(model)]
    rules = [_no_gateway(system), _queue_deep(system), *(_no_pods(system, role) for role in roles)]
    rules += [_degraded(system), _failing(system), _scrape_stale(system), _pods_ejected(system)]
    return [{"name": f"recsys-{system.metadata.namespace}-{system.metadata.name}", "rules": rules}]


def _alert(name: str, expression: str, wait: str, severity: str, summary: str, runbook: str, **labels: str) -> Manifest:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": summary, "runbook": runbook},
    }


def _no_gateway(system: RecommenderSystem) -> Manifest:
    name, namespace = system.metadata.name, system.metadata.namespace
    return _alert(
        "RecsysGatewayAbsent",
        f"absent(recsys_gateway_queue_depth{series(system)})",
        "5m",
        "critical",
        f"No gateway of {namespace}/{name} is scraped.",
        f"kubectl -n {namespace} describe recsys {name}: the condition GatewayReady says why no pod serves. Where all "
        "are ready, Prometheus does not reach them: see the PodMonitor, and networkPolicy.metricsFrom.",
    )


def _queue_deep(system: RecommenderSystem) -> Manifest:
    limit = system.spec.gateway.admission.max_waiting // 2
    return _alert(
        "RecsysQueueDeep",
        f"max by (role) (recsys_gateway_queue_depth{series(system)}) > {limit}",
        "5m",
        "warning",
        "More than half of the queue for the {{ $labels.role }} model is taken: {{ $value }} calls wait.",
        "The pods are slower than the calls come. Give the model more replicas, or a higher scaling.maxReplicas; "
        "see recsys_gateway_pod_load: one slow pod among quick ones wants a lower weight or another node.",
    )


def _no_pods(system: RecommenderSystem, role: Role) -> Manifest:
    matching = series(system, f'role="{role}"')
    scraped = f"count(recsys_gateway_queue_depth{series(system)}) > 0"
    return _alert(
        "RecsysNoPods",
        f"absent(recsys_gateway_pod_inflight{matching}) and on () ({scraped})",
        "5m",
        "critical",
        f"The gateway knows no pod of the {role} model: its calls wait and then fail, answers go without it.",
        f"kubectl -n {system.metadata.namespace} get pods -l recsys.io/system={system.metadata.name},"
        f"recsys.io/role={role}: Pending lacks GPUs or a volume, ImagePullBackOff an image or its secret, a long "
        "ContainerCreating the model's files. The condition ModelsReady repeats the first reason.",
        role=role.value,
    )


def _degraded(system: RecommenderSystem) -> Manifest:
    asked = f"sum(rate(recsys_gateway_requests_total{series(system, RECOMMENDATIONS)}[10m]))"
    return _alert(
        "RecsysAnswersDegraded",
        f"sum by (stage) (rate(recsys_gateway_degraded_total{series(system)}[10m])) / ignoring (stage) group_left () "
        f"{asked} > {DEGRADED_SHARE}",
        "10m",
        "warning",
        "{{ $value | humanizePercentage }} of the answers go without the stage {{ $labels.stage }}.",
        "rank: the tuned model fails or is too slow. narrate: the base model. retrieve or verify: Milvus or the "
        "embedder. /readyz of a gateway says how each part is doing, and the answers' field degraded why.",
    )


def _failing(system: RecommenderSystem) -> Manifest:
    failed = series(system, 'outcome=~"error|unavailable"')
    every = f"sum by (route) (rate(recsys_gateway_requests_total{series(system)}[10m]))"
    return _alert(
        "RecsysRequestsFail",
        f"sum by (route) (rate(recsys_gateway_requests_total{failed}[10m])) / {every} > {FAILED_SHARE}",
        "10m",
        "critical",
        "{{ $value | humanizePercentage }} of the calls to {{ $labels.route }} fail.",
        "unavailable: there is no capacity, see RecsysQueueDeep and RecsysNoPods. error: a fault; the gateway's log "
        "has a line with the x-request-id of each.",
    )


def _scrape_stale(system: RecommenderSystem) -> Manifest:
    return _alert(
        "RecsysPodMetricsStale",
        f"max by (role, pool, pod) (recsys_gateway_pod_scrape_age_seconds{series(system)}) > {STALE_SECONDS}",
        "5m",
        "warning",
        "The load of {{ $labels.pod }} ({{ $labels.role }}, {{ $labels.pool }}) has not been read for {{ $value }} s.",
        "The gateway balances by its own calls alone meanwhile. The pod hangs, or its /metrics is off or shut away by "
        "a policy; with spec.prometheus: that server does not scrape it.",
    )


def _pods_ejected(system: RecommenderSystem) -> Manifest:
    return _alert(
        "RecsysPodsEjected",
        f"sum by (role) (increase(recsys_gateway_ejections_total{series(system)}[15m])) > 5",
        "0m",
        "warning",
        "Pods of the {{ $labels.role }} model failed and got no calls for a while, {{ $value }} times in 15 minutes.",
        "See the engine's log for restarts and out-of-memory, recsys_gateway_upstream_requests_total by outcome, and "
        "the node's GPU.",
    )


def _may_be_empty(model: Model) -> bool:
    """An external engine has no pods of ours; a pool that scales to zero has none while nothing is asked."""
    if model.model.is_external:
        return True
    return all(
        pool.replicas == 0
        or (pool.scaling is not None and 0 in {pool.scaling.min_replicas, pool.scaling.idle_replicas})
        for pool in model.pools
    )
