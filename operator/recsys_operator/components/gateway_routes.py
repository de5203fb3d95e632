"""How the gateway is reached from outside of the cluster, where the resource asks for it."""

from __future__ import annotations

from recsys_operator.api.gateway import HttpRoute, Ingress
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.gateway_config import COMPONENT
from recsys_operator.components.labels import child_name, labels, metadata
from recsys_operator.components.manifest import HTTP_ROUTE, Manifest
from recsys_operator.components.observed import Observed


def gateway_routes(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """An Ingress, or an HTTPRoute where the cluster serves the Gateway API."""
    gateway = system.spec.gateway
    if gateway.ingress is not None:
        return [_ingress(system, gateway.ingress)]
    if gateway.http_route is not None and HTTP_ROUTE in observed.apis:
        return [_http_route(system, gateway.http_route)]
    return []


def _ingress(system: RecommenderSystem, ingress: Ingress) -> Manifest:
    name = child_name(system, COMPONENT)
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    rule = {"host": ingress.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec: Manifest = {"rules": [rule]}
    if ingress.class_name:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_ref:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_ref.name}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _metadata(system, dict(ingress.annotations)),
        "spec": spec,
    }


def _http_route(system: RecommenderSystem, route: HttpRoute) -> Manifest:
    parents = [parent.model_dump(mode="json", by_alias=True, exclude_none=True) for parent in route.parent_refs]
    backend = {"name": child_name(system, COMPONENT), "port": 80}
    spec: Manifest = {"parentRefs": parents, "rules": [{"backendRefs": [backend]}]}
    if route.hostnames:
        spec["hostnames"] = list(route.hostnames)
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": _metadata(system, dict(route.annotations)),
        "spec": spec,
    }


def _metadata(system: RecommenderSystem, annotations: dict[str, str]) -> Manifest:
    found = metadata(system, child_name(system, COMPONENT), labels(system, COMPONENT))
    return {**found, "annotations": annotations} if annotations else found
