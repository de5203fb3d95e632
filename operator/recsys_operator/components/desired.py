"""All children that a system is to have: every builder joined, in the order of applying."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType, VectorStoreMode
from recsys_operator.components import models
from recsys_operator.components.catalog_job import catalog_config_maps, catalog_manifests
from recsys_operator.components.embedder import embedder_manifests
from recsys_operator.components.gateway import gateway_manifests
from recsys_operator.components.local_addresses import local_address_notes
from recsys_operator.components.manifest import (
    HTTP_ROUTE,
    MILVUS,
    POD_MONITOR,
    PROMETHEUS_RULE,
    ApiKind,
    Manifest,
)
from recsys_operator.components.milvus import milvus_manifests
from recsys_operator.components.monitoring import monitoring_manifests
from recsys_operator.components.network_policy import network_policies
from recsys_operator.components.note import Note
from recsys_operator.components.observed import Observed

WAVES = (
    ("NetworkPolicy", "ServiceAccount", "Role", "ConfigMap", "PersistentVolumeClaim", "Service"),
    ("RoleBinding",),
    ("Milvus", "StatefulSet", "Deployment", "Job"),
)
"""Pods are guarded before they run, and what they read is there before them; a RoleBinding needs its Role.

What is of one wave is applied at once. Other kinds go with the last.
"""
_RANKS = {kind: rank for rank, kind in enumerate(chain.from_iterable(WAVES))}
_WAVE_OF = {kind: number for number, kinds in enumerate(WAVES) for kind in kinds}


class AbsentApi(NamedTuple):
    """A kind that the resource asks for and the cluster does not serve. ``use`` is what it was for."""

    kind: ApiKind
    use: str


class _Wish(NamedTuple):
    kind: ApiKind
    use: str
    reason: str
    message: str


def desired(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """The manifests of all children, wave after wave. The same arguments give the same list."""
    found = [
        *network_policies(system),
        *models.model_manifests(system, observed),
        *embedder_manifests(system, observed),
        *milvus_manifests(system, observed),
        *gateway_manifests(system, observed),
        *catalog_manifests(system, observed),
        *monitoring_manifests(system, observed),
    ]
    return sorted(found, key=lambda manifest: _RANKS.get(manifest["kind"], len(_RANKS)))


def wave(kind: str) -> int:
    """The number of the wave that children of ``kind`` are applied in."""
    return _WAVE_OF.get(kind, len(WAVES) - 1)


def absent_apis(system: RecommenderSystem, observed: Observed) -> list[AbsentApi]:
    """Kinds without which a part is left out, here and now."""
    return [AbsentApi(wish.kind, wish.use) for wish in _wishes(system) if wish.kind not in observed.apis]


def notes(system: RecommenderSystem, observed: Observed) -> list[Note]:
    """What of the resource cannot be as it is asked for; everything else is built all the same."""
    absent = [Note(wish.reason, wish.message) for wish in _wishes(system) if wish.kind not in observed.apis]
    return [*absent, *local_address_notes(system), *_embedder_notes(system), *models.notes(system, observed)]


def read_config_maps(system: RecommenderSystem) -> frozenset[str]:
    """Names of the users' ConfigMaps whose content goes into pods: another content gives new pods, or another Job."""
    authority = system.spec.ca_config_map_ref
    return frozenset([*catalog_config_maps(system), *([authority.name] if authority else [])])


def _wishes(system: RecommenderSystem) -> Iterator[_Wish]:
    spec = system.spec
    managed = spec.vector_store.managed
    if managed is not None and managed.mode is VectorStoreMode.CLUSTER:
        yield _Wish(
            MILVUS,
            "spec.vectorStore.managed.mode: Cluster",
            "MilvusOperatorAbsent",
            "spec.vectorStore.managed.mode is Cluster and no Milvus Operator is installed: there is no vector store."
            " Install it, or make a system with mode Standalone or with an external store",
        )
    if spec.gateway.http_route is not None:
        yield _Wish(
            HTTP_ROUTE,
            "spec.gateway.httpRoute",
            "GatewayApiAbsent",
            "spec.gateway.httpRoute: the cluster has no Gateway API, so the gateway is reached from inside alone. "
            "Install the Gateway API's kinds and a controller, or give spec.gateway.ingress instead",
        )
    yield from _monitoring_wishes(system)


def _monitoring_wishes(system: RecommenderSystem) -> Iterator[_Wish]:
    wanted = system.spec.monitoring
    for asked, kind, field in (
        (wanted.pod_monitor, POD_MONITOR, "podMonitor"),
        (wanted.rules, PROMETHEUS_RULE, "rules"),
    ):
        if asked:
            message = (
                f"spec.monitoring.{field}: the cluster has no {kind.kind}, which the Prometheus Operator brings: "
                f"install it, or set {field} to false"
            )
            yield _Wish(kind, f"spec.monitoring.{field}", "MonitoringApiAbsent", message)


def _embedder_notes(system: RecommenderSystem) -> Iterator[Note]:
    embedder = system.spec.embedder
    if embedder.engine.type is EmbedderEngineType.TEI and embedder.model.is_sample:
        yield Note(
            "WrongFormat",
            f"spec.embedder: TEI reads a folder of transformers, and {embedder.model.uri} is an ONNX model with a "
            "tokenizer of its own: set engine.type to Triton",
        )
