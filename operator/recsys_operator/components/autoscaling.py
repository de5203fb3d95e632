"""Autoscaling of a pool: a ScaledObject of KEDA on the gateways' own counts, else a HorizontalPodAutoscaler.

A pod runs ``slots`` calls, and one pod more is wanted when ``queueDepth`` calls a pod wait beyond those. So the wanted
number of pods is (calls in pods + calls that wait) / (slots + queueDepth): with all slots taken and nobody waiting it
stays, and it falls as soon as calls are fewer. Waiting calls alone would say "none" to a pool that is just busy.

Without KEDA: the same by an external metric that an adapter has to serve, for pools on a GPU; by use of the CPU for
pools without one. Neither can scale to zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recsys_operator.api.models import Scaling
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.canary import ModelPool
from recsys_operator.components.engines.engine import gpus
from recsys_operator.components.labels import metadata
from recsys_operator.components.manifest import SCALED_OBJECT, Manifest
from recsys_operator.components.note import Note
from recsys_operator.components.observed import Observed

ASSUMED_SLOTS = 8
"""Of a pool that does not say how many calls its pods run at once."""
BUSY_CPU_PERCENT = 80
EXTERNAL_METRIC = "recsys_pool_calls"
"""What an adapter must serve for pools on GPUs where there is no KEDA (docs/design/engines.md has the rule)."""
_SCALE_DOWN_SECONDS = 300
_POLLING_SECONDS = 15


def autoscalers(system: RecommenderSystem, pools: Iterable[ModelPool], observed: Observed) -> Iterator[Manifest]:
    """One of the two for each pool that asks for scaling."""
    scaled = [pool for pool in pools if pool.settings.scaling is not None]
    for pool in scaled:
        sharing = sum(other.role is pool.role for other in scaled)
        if pool.settings.scaling is None:
            continue
        if _keda(system, observed):
            yield _scaled_object(system, pool, pool.settings.scaling, sharing)
        else:
            yield _horizontal(system, pool, pool.settings.scaling, observed)


def autoscaling_notes(system: RecommenderSystem, pools: Iterable[ModelPool], observed: Observed) -> Iterator[Note]:
    """What of the asked scaling this cluster cannot do."""
    scaled = [pool for pool in pools if pool.settings.scaling is not None]
    if not scaled or _keda(system, observed):
        return
    missing = (
        "KEDA is not installed: install it"
        if SCALED_OBJECT not in observed.apis
        else "spec.prometheus is not given: name the server that scrapes the gateways"
    )
    on_gpu = any(gpus(pool.settings.resources) for pool in scaled)
    by = f"the external metric {EXTERNAL_METRIC}, which an adapter must serve" if on_gpu else "use of the CPU"
    yield Note(
        "KedaAbsent" if SCALED_OBJECT not in observed.apis else "PrometheusNotGiven",
        f"{missing}, to scale by waiting calls; until then pools scale by {by}, and never to zero",
    )


def fewest_replicas(system: RecommenderSystem, scaling: Scaling, observed: Observed) -> int:
    """What a pool starts with. A HorizontalPodAutoscaler leaves a Deployment with no replicas alone for ever."""
    return scaling.min_replicas if _keda(system, observed) else max(1, scaling.min_replicas)


def _keda(system: RecommenderSystem, observed: Observed) -> bool:
    return SCALED_OBJECT in observed.apis and system.spec.prometheus is not None


def _scaled_object(system: RecommenderSystem, pool: ModelPool, scaling: Scaling, sharing: int) -> Manifest:
    prometheus = system.spec.prometheus
    idle = {"idleReplicaCount": 0} if scaling.idle_replicas == 0 and scaling.min_replicas > 0 else {}
    return {
        "apiVersion": SCALED_OBJECT.api_version,
        "kind": SCALED_OBJECT.kind,
        "metadata": {
            **metadata(system, pool.name, pool.labels(system)),
            # The HorizontalPodAutoscaler of a time before KEDA goes right after this is there.
            "annotations": {"validations.keda.sh/hpa-ownership": "false"},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name},
            "pollingInterval": _POLLING_SECONDS,
            "cooldownPeriod": _SCALE_DOWN_SECONDS,
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            **idle,
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": "" if prometheus is None else str(prometheus.url).rstrip("/"),
                        "query": _query(system, pool, sharing),
                        "threshold": f"{_calls_per_pod(pool, scaling):g}",
                        "activationThreshold": "0",
                    },
                }
            ],
        },
    }


def _horizontal(system: RecommenderSystem, pool: ModelPool, scaling: Scaling, observed: Observed) -> Manifest:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(system, pool.name, pool.labels(system)),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": pool.name},
            "minReplicas": fewest_replicas(system, scaling, observed),
            "maxReplicas": scaling.max_replicas,
            "metrics": [_external(system, pool, scaling) if gpus(pool.settings.resources) else _cpu()],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": _SCALE_DOWN_SECONDS}},
        },
    }


def _cpu() -> Manifest:
    target = {"type": "Utilization", "averageUtilization": BUSY_CPU_PERCENT}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _external(system: RecommenderSystem, pool: ModelPool, scaling: Scaling) -> Manifest:
    chosen = {"system": system.metadata.name, "role": pool.role.value, "pool": pool.settings.name}
    return {
        "type": "External",
        "external": {
            "metric": {"name": EXTERNAL_METRIC, "selector": {"matchLabels": chosen}},
            "target": {"type": "AverageValue", "averageValue": f"{_calls_per_pod(pool, scaling):g}"},
        },
    }


def _calls_per_pod(pool: ModelPool, scaling: Scaling) -> float:
    return (pool.settings.slots or ASSUMED_SLOTS) + scaling.queue_depth


def _query(system: RecommenderSystem, pool: ModelPool, sharing: int) -> str:
    """Calls in the pool's pods, and its part of the role's waiting calls; absent series, as with no pod, are zero."""
    gateways = f'namespace="{system.metadata.namespace}",recsys_io_system="{system.metadata.name}"'
    role = f'{gateways},role="{pool.role.value}"'
    running = f'sum(recsys_gateway_pod_inflight{{{role},pool="{pool.settings.name}"}})'
    waiting = f"sum(recsys_gateway_queue_depth{{{role}}})"
    part = f" / {sharing}" if sharing > 1 else ""
    return f"({running} or vector(0)) + ({waiting} or vector(0)){part}"
