"""The text encoder's pods: Triton with an ONNX model, or Text Embeddings Inference; none for an external one."""

from __future__ import annotations

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType
from recsys_operator.components import triton
from recsys_operator.components.disruption_budget import disruption_budget
from recsys_operator.components.encoder_files import encoder_containers, encoder_mount, encoder_volumes
from recsys_operator.components.engines.engine import gpus
from recsys_operator.components.labels import child_name, labels, metadata, selector
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.components.platform_pod import platform_pod
from recsys_operator.components.pod_template import (
    RESTRICTED_CONTAINER,
    container_resources,
    outbound_checksum,
)
from recsys_operator.components.release import TEI, TEI_CPU, TRITON, image
from recsys_operator.components.retrieval_access import EMBEDDER, TEI_PORT, TRITON_GRPC_PORT

TEI_MODEL = "/data/embedder"
TRITON_USER = 1000
"""``triton-server``, whom its image brings."""
TRITON_PORTS = [
    {"name": "grpc", "port": TRITON_GRPC_PORT, "targetPort": "grpc", "appProtocol": "grpc"},
    {"name": "http", "port": triton.HTTP_PORT, "targetPort": "http"},
    {"name": "metrics", "port": triton.METRICS_PORT, "targetPort": "metrics"},
]
TEI_PORTS = [{"name": "http", "port": TEI_PORT, "targetPort": "http"}]


def embedder_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    certificates = outbound_checksum(system, observed)
    match system.spec.embedder.engine.type:
        case EmbedderEngineType.TRITON:
            config = _repository_config(system)
            reads = [config["data"], certificates]
            template = platform_pod(
                system, EMBEDDER, _triton_pod(system), system.spec.embedder, reads=reads, user=TRITON_USER
            )
            return [config, *_workload(system, template, TRITON_PORTS)]
        case EmbedderEngineType.TEI:
            template = platform_pod(system, EMBEDDER, _tei_pod(system), system.spec.embedder, reads=[certificates])
            return _workload(system, template, TEI_PORTS)
        case EmbedderEngineType.OPENAI:
            return []


def _workload(system: RecommenderSystem, template: Manifest, ports: list[Manifest]) -> list[Manifest]:
    name, marks, chosen = child_name(system, EMBEDDER), labels(system, EMBEDDER), selector(system, EMBEDDER)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(system, name, marks),
        "spec": {"type": "ClusterIP", "selector": chosen, "ports": ports},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(system, name, marks),
        "spec": {
            "replicas": system.spec.embedder.replicas,
            "selector": {"matchLabels": chosen},
            # It may hold the only GPU there is: the old pod goes before the new one comes.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "template": template,
        },
    }
    return [service, deployment, disruption_budget(system, name, marks, chosen)]


def _repository_config(system: RecommenderSystem) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, child_name(system, EMBEDDER), labels(system, EMBEDDER)),
        "data": {triton.CONFIG_FILE: triton.MODEL_CONFIG},
    }


def _triton_pod(system: RecommenderSystem) -> Manifest:
    """The encoder is mounted as version 1 of the repository's only model, its configuration above that."""
    embedder = system.spec.embedder
    container: Manifest = {
        "name": EMBEDDER,
        "image": image(system, embedder.engine.image or TRITON),
        "args": triton.ARGS,
        "ports": triton.PORTS,
        **container_resources(embedder.resources),
        # Its libraries unpack themselves where the image says.
        "securityContext": {**RESTRICTED_CONTAINER, "readOnlyRootFilesystem": False},
        **triton.probes(),
        "volumeMounts": [
            encoder_mount(system, triton.MODEL_FOLDER),
            {
                "name": "config",
                "mountPath": triton.CONFIG_PATH,
                "subPath": triton.CONFIG_FILE,
                "readOnly": True,
            },
        ],
    }
    return {
        "initContainers": encoder_containers(system),
        "containers": [container],
        "volumes": [*encoder_volumes(system), {"name": "config", "configMap": {"name": child_name(system, EMBEDDER)}}],
    }


def _tei_pod(system: RecommenderSystem) -> Manifest:
    """Its ``/health`` asks the model: no more is needed of the probes."""
    embedder = system.spec.embedder
    health = {"httpGet": {"path": "/health", "port": "http"}}
    container: Manifest = {
        "name": EMBEDDER,
        "image": image(system, embedder.engine.image or (TEI if gpus(embedder.resources) else TEI_CPU)),
        "args": [f"--model-id={TEI_MODEL}", "--hostname=0.0.0.0", f"--port={TEI_PORT}"],
        "ports": [{"name": "http", "containerPort": TEI_PORT}],
        **container_resources(embedder.resources),
        "securityContext": {**RESTRICTED_CONTAINER, "readOnlyRootFilesystem": False},
        "startupProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 240},
        "readinessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 7, "failureThreshold": 3},
        "livenessProbe": {**health, "periodSeconds": 30, "timeoutSeconds": 35, "failureThreshold": 3},
        "volumeMounts": [encoder_mount(system, TEI_MODEL)],
    }
    return {
        "initContainers": encoder_containers(system),
        "containers": [container],
        "volumes": encoder_volumes(system),
    }
