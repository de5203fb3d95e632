"""Objects of the Prometheus Operator and of Grafana, each where it is asked for and the cluster knows its kind."""

from __future__ import annotations

import json

from recsys_gateway.config import EngineType
from recsys_gateway.engines.registry import dialect_of

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType, VectorStoreMode
from recsys_operator.components.alerts import alert_groups
from recsys_operator.components.dashboard import dashboard
from recsys_operator.components.labels import ROLE, SYSTEM, child_name, labels, metadata, selector
from recsys_operator.components.manifest import POD_MONITOR, PROMETHEUS_RULE, Manifest
from recsys_operator.components.model_identity import by_role, engine_type
from recsys_operator.components.observed import Observed
from recsys_operator.components.retrieval_access import EMBEDDER, MILVUS

COMPONENT = "monitoring"
GRAFANA_LABEL = {"grafana_dashboard": "1"}
"""What Grafana's sidecar looks for."""


def monitoring_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    wanted = system.spec.monitoring
    found: list[Manifest] = []
    if wanted.pod_monitor and POD_MONITOR in observed.apis:
        found += _pod_monitors(system)
    if wanted.rules and PROMETHEUS_RULE in observed.apis:
        found.append(_rule(system))
    if wanted.dashboards:
        found.append(_dashboard(system))
    return found


def _pod_monitors(system: RecommenderSystem) -> list[Manifest]:
    # The gateway's series name engines' pods by a label "pod": honorLabels keeps it from the gateway's own.
    monitors = [_pod_monitor(system, "gateway", selector(system, "gateway"), "http", "/metrics", honor=True)]
    for role, model in by_role(system.spec.models).items():
        engine = engine_type(model)
        if not model.model.is_external and engine is not EngineType.OLLAMA:
            path = dialect_of(engine).metrics_path or "/metrics"
            chosen = {**selector(system, "model"), ROLE: role.value}
            monitors.append(_pod_monitor(system, role.value, chosen, "http", path))
    match system.spec.embedder.engine.type:
        case EmbedderEngineType.TRITON:
            monitors.append(_pod_monitor(system, EMBEDDER, selector(system, EMBEDDER), "metrics", "/metrics"))
        case EmbedderEngineType.TEI:
            monitors.append(_pod_monitor(system, EMBEDDER, selector(system, EMBEDDER), "http", "/metrics"))
        case EmbedderEngineType.OPENAI:
            pass
    managed = system.spec.vector_store.managed
    if managed is not None and managed.mode is VectorStoreMode.STANDALONE:
        monitors.append(_pod_monitor(system, MILVUS, selector(system, MILVUS), "metrics", "/metrics"))
    return monitors


def _pod_monitor(
    system: RecommenderSystem, part: str, chosen: dict[str, str], port: str, path: str, *, honor: bool = False
) -> Manifest:
    """Every series gets the label ``recsys_io_system``, as pod labels become labels of series everywhere: alerts, the
    dashboard and the autoscaler choose by it and by the namespace.
    """
    endpoint: Manifest = {
        "port": port,
        "path": path,
        "interval": system.spec.monitoring.interval,
    }
    if honor:
        endpoint["honorLabels"] = True
    return {
        "apiVersion": POD_MONITOR.api_version,
        "kind": POD_MONITOR.kind,
        "metadata": metadata(system, child_name(system, part), _labels(system)),
        "spec": {
            "selector": {"matchLabels": chosen},
            "podTargetLabels": [SYSTEM],
            "podMetricsEndpoints": [endpoint],
        },
    }


def _rule(system: RecommenderSystem) -> Manifest:
    return {
        "apiVersion": PROMETHEUS_RULE.api_version,
        "kind": PROMETHEUS_RULE.kind,
        "metadata": metadata(system, child_name(system, COMPONENT), _labels(system)),
        "spec": {"groups": alert_groups(system)},
    }


def _dashboard(system: RecommenderSystem) -> Manifest:
    name = child_name(system, "dashboard")
    text = json.dumps(dashboard(system), indent=1, ensure_ascii=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, name, {**_labels(system), **GRAFANA_LABEL}),
        "data": {f"{name}.json": text},
    }


def _labels(system: RecommenderSystem) -> dict[str, str]:
    """The resource's own labels, so that a Prometheus finds them; ours tell whose they are and come last."""
    return {**system.spec.monitoring.labels, **labels(system, COMPONENT)}
