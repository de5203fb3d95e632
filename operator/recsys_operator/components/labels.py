"""Names, labels and owner of a system's children, in one place: selectors, pruning and discovery rest on them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from recsys_gateway.config import Role, Track

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.manifest import Manifest

MANAGER = "recsys-operator"
"""Field manager of server-side apply, and the value of ``app.kubernetes.io/managed-by``."""
DOMAIN = "recsys.io"
MANAGED_BY = "app.kubernetes.io/managed-by"
SYSTEM = f"{DOMAIN}/system"
COMPONENT = "app.kubernetes.io/component"
ROLE = f"{DOMAIN}/role"
POOL = f"{DOMAIN}/pool"
TRACK = f"{DOMAIN}/track"
WEIGHT = f"{DOMAIN}/weight"
SLOTS = f"{DOMAIN}/slots"
CHECKSUM = f"{DOMAIN}/checksum"
"""Annotation of a pod template: a change of what the pods read at their start gives new pods."""


def labels(system: RecommenderSystem, component: str) -> dict[str, str]:
    """Labels of a child of ``system`` that belongs to ``component``: model, gateway, embedder, milvus, catalog, …"""
    return {
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": "recsys",
        "app.kubernetes.io/instance": system.metadata.name,
        COMPONENT: component,
        SYSTEM: system.metadata.name,
    }


def selector(system: RecommenderSystem, component: str) -> dict[str, str]:
    """The labels that never change, for selectors, which cannot change either."""
    return {SYSTEM: system.metadata.name, COMPONENT: component}


def pool_labels(role: Role, pool: str, track: Track) -> dict[str, str]:
    return {ROLE: role.value, POOL: pool, TRACK: track.value}


def pool_name(system: RecommenderSystem, role: Role, pool: str, track: Track = Track.STABLE) -> str:
    """Name of the Deployment and the Service of a pool."""
    canary = "-canary" if track is Track.CANARY else ""
    return f"{system.metadata.name}-{role.value}-{pool}{canary}"


def child_name(system: RecommenderSystem, component: str) -> str:
    return f"{system.metadata.name}-{component}"


def digest(content: Any) -> str:
    """Eight hexadecimal digits of ``content``, any JSON value: for names of Jobs and checksums of configuration."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def metadata(system: RecommenderSystem, name: str, labels: dict[str, str], *, owned: bool = True) -> Manifest:
    """Metadata of a child; ``owned`` False for what shall outlive the resource."""
    found: Manifest = {"name": name, "namespace": system.metadata.namespace, "labels": labels}
    if owned:
        found["ownerReferences"] = [owner_reference(system)]
    return found


def owner_reference(system: RecommenderSystem) -> Manifest:
    return {
        "apiVersion": system.api_version,
        "kind": system.kind,
        "name": system.metadata.name,
        "uid": system.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
