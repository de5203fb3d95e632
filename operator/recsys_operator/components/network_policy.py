"""Who may talk to whom: the gateway and the catalogue's Job reach engines, embedder and store; nobody else does.

A policy that selects a pod also closes what it does not name. So that the system works in a namespace that denies all
by default, each part is also allowed the way out that it needs: names, the hub, the API server, external engines.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys_operator.api.platform import NetworkPeer
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType, VectorStoreMode
from recsys_operator.components import catalog_job, gateway_config, milvus, triton
from recsys_operator.components.labels import child_name, labels, metadata, selector
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.retrieval_access import EMBEDDER, MILVUS, MILVUS_PORT, TEI_PORT, TRITON_GRPC_PORT

MODEL, MODEL_CACHE = "model", "model-cache"
DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
ANY_PROMETHEUS: Manifest = {
    "namespaceSelector": {},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}
"""The label that the Prometheus Operator and the common charts give its pods, in whatever namespace."""
ANYWHERE: Manifest = {}
"""A rule without a peer and without a port: hub mirrors, proxies and API servers listen where they like."""


def network_policies(system: RecommenderSystem) -> list[Manifest]:
    if not system.spec.network_policy.enabled:
        return []
    callers, metrics = _callers(system), _scrapers(system)
    visitors = _peers(system.spec.network_policy.gateway_from)
    return [
        _policy(system, gateway_config.COMPONENT, [_from([*visitors, *metrics] if visitors else [])], [ANYWHERE]),
        _policy(system, catalog_job.COMPONENT, [], [ANYWHERE]),
        # Engines tell their load on the port that they serve on.
        _policy(system, MODEL, [_from([_pods(system, gateway_config.COMPONENT), *metrics])], [ANYWHERE]),
        *([_policy(system, MODEL_CACHE, [], [ANYWHERE])] if system.spec.model_cache else []),
        *_embedder(system, callers, metrics),
        *_milvus(system, callers, metrics),
    ]


def _embedder(system: RecommenderSystem, callers: list[Manifest], metrics: list[Manifest]) -> list[Manifest]:
    match system.spec.embedder.engine.type:
        case EmbedderEngineType.TRITON:
            ingress = [_from(callers, TRITON_GRPC_PORT, triton.HTTP_PORT), *_scraped(metrics, triton.METRICS_PORT)]
        case EmbedderEngineType.TEI:
            ingress = [_from([*callers, *metrics], TEI_PORT)]
        case EmbedderEngineType.OPENAI:
            return []
    return [_policy(system, EMBEDDER, ingress, [ANYWHERE])]


def _milvus(system: RecommenderSystem, callers: list[Manifest], metrics: list[Manifest]) -> list[Manifest]:
    """A standalone Milvus needs nobody: it holds its own etcd and storage. Those of the Milvus Operator are its own."""
    managed = system.spec.vector_store.managed
    if managed is None or managed.mode is not VectorStoreMode.STANDALONE:
        return []
    ingress = [_from(callers, MILVUS_PORT), *_scraped(metrics, milvus.HEALTH_PORT)]
    return [_policy(system, MILVUS, ingress, [DNS])]


def _policy(
    system: RecommenderSystem, component: str, ingress: Sequence[Manifest], egress: Sequence[Manifest]
) -> Manifest:
    """Without rules of a direction nothing is let through in it; an empty list is not given back by the server."""
    spec: Manifest = {
        "podSelector": {"matchLabels": selector(system, component)},
        "policyTypes": ["Ingress", "Egress"],
    }
    if ingress:
        spec["ingress"] = list(ingress)
    if egress:
        spec["egress"] = list(egress)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(system, child_name(system, component), labels(system, component)),
        "spec": spec,
    }


def _callers(system: RecommenderSystem) -> list[Manifest]:
    return [_pods(system, gateway_config.COMPONENT), _pods(system, catalog_job.COMPONENT)]


def _pods(system: RecommenderSystem, component: str) -> Manifest:
    return {"podSelector": {"matchLabels": selector(system, component)}}


def _from(peers: Sequence[Manifest], *ports: int) -> Manifest:
    """Without peers: from everywhere. Without ports: to all of them."""
    rule: Manifest = {"from": list(peers)} if peers else {}
    if ports:
        rule["ports"] = [{"protocol": "TCP", "port": port} for port in ports]
    return rule


def _scrapers(system: RecommenderSystem) -> list[Manifest]:
    """Who reads metrics: those that the resource names; else, where metrics are asked for, every Prometheus."""
    spec = system.spec
    named = _peers(spec.network_policy.metrics_from)
    wanted = spec.prometheus is not None or spec.monitoring.pod_monitor
    return named or ([ANY_PROMETHEUS] if wanted else [])


def _scraped(metrics: Sequence[Manifest], port: int) -> list[Manifest]:
    return [_from(metrics, port)] if metrics else []


def _peers(peers: Sequence[NetworkPeer]) -> list[Manifest]:
    return [peer.model_dump(mode="json", by_alias=True, exclude_none=True) for peer in peers]
