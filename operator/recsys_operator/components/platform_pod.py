"""The template of the pods of gateway, embedder, vector store and catalogue: what they share."""

from __future__ import annotations

from typing import Any

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.workload import Placement
from recsys_operator.components.labels import CHECKSUM, digest, labels
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.pod_template import OUR_USER, placed, pull_secrets, restricted_pod

_CONTAINERS = ("initContainers", "containers")


def platform_pod(
    system: RecommenderSystem,
    component: str,
    spec: Manifest,
    placement: Placement,
    *,
    reads: Any = None,
    user: int = OUR_USER,
) -> Manifest:
    """A pod template that fits the pod security standard "restricted".

    ``reads`` is whatever the pods take at their start: another value gives new pods. No pod gets a token of the API
    server by itself, and none the addresses of all Services in its environment.
    """
    metadata: Manifest = {"labels": labels(system, component)}
    if reads is not None:
        metadata["annotations"] = {CHECKSUM: digest(reads)}
    shared: Manifest = {
        **pull_secrets(system),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": restricted_pod(user),
    }
    given = _without_empty(spec)
    given |= {kind: [_without_empty(container) for container in given[kind]] for kind in _CONTAINERS if kind in given}
    return placed({"metadata": metadata, "spec": {**shared, **given}}, placement)


def _without_empty(part: Manifest) -> Manifest:
    """An empty list says nothing, and the API server gives none back: it would look like a difference for ever."""
    return {name: value for name, value in part.items() if value != []}
