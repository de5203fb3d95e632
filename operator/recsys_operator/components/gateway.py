"""The gateway's pods: configuration, account, Deployment and Service."""

from __future__ import annotations

from pathlib import Path

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.disruption_budget import disruption_budget
from recsys_operator.components.encoder_files import tokenizer_containers, tokenizer_mounts, tokenizer_volumes
from recsys_operator.components.gateway_account import gateway_account, token_mount, token_volume
from recsys_operator.components.gateway_config import COMPONENT, config_text, gateway_config, restart_digest
from recsys_operator.components.gateway_routes import gateway_routes
from recsys_operator.components.labels import child_name, labels, metadata, selector
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.mounted_secrets import gateway_secrets
from recsys_operator.components.observed import Observed
from recsys_operator.components.platform_pod import platform_pod
from recsys_operator.components.pod_template import (
    RESTRICTED_CONTAINER,
    container_resources,
    outbound_checksum,
    outbound_env,
    outbound_mounts,
)
from recsys_operator.components.release import GATEWAY, image
from recsys_operator.components.retrieval_access import retrieval_secrets

PORT = 8080
CONFIG = Path("/etc/recsys/config")
CONFIG_FILE = "gateway.yaml"
LEAVE_SECONDS = 5
"""Until every node knows that a pod leaves; it still takes new calls meanwhile."""
CLOSE_SECONDS = 5
"""For connections to close once the calls have ended."""


def gateway_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """In the order of applying: what the pods read comes before them."""
    config = gateway_config(system, observed)
    name, marks, chosen = child_name(system, COMPONENT), labels(system, COMPONENT), selector(system, COMPONENT)
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, name, marks),
        "data": {CONFIG_FILE: config_text(config)},
    }
    return [
        *gateway_account(system),
        config_map,
        _service(system),
        _deployment(system, [restart_digest(config), outbound_checksum(system, observed)]),
        disruption_budget(system, name, marks, chosen),
        *gateway_routes(system, observed),
    ]


def _service(system: RecommenderSystem) -> Manifest:
    wanted = system.spec.gateway.service
    found = metadata(system, child_name(system, COMPONENT), labels(system, COMPONENT))
    if wanted.annotations:
        found["annotations"] = dict(wanted.annotations)
    ports = [{"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": found,
        "spec": {"type": wanted.type.value, "selector": selector(system, COMPONENT), "ports": ports},
    }


def _deployment(system: RecommenderSystem, reads: list[object]) -> Manifest:
    gateway, chosen = system.spec.gateway, selector(system, COMPONENT)
    name, marks = child_name(system, COMPONENT), labels(system, COMPONENT)
    secrets = [*gateway_secrets(system), *retrieval_secrets(system)]
    pod: Manifest = {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": LEAVE_SECONDS + round(gateway.admission.drain_seconds) + CLOSE_SECONDS,
        "topologySpreadConstraints": [_spread(chosen, "kubernetes.io/hostname")],
        "initContainers": tokenizer_containers(system),
        "containers": [_container(system, [secret.as_mount() for secret in secrets])],
        "volumes": [
            {"name": "config", "configMap": {"name": name}},
            {"name": "tmp", "emptyDir": {}},
            token_volume(),
            *(secret.as_volume() for secret in secrets),
            *tokenizer_volumes(system),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(system, name, marks),
        "spec": {
            "replicas": gateway.replicas,
            "selector": {"matchLabels": chosen},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": platform_pod(system, COMPONENT, pod, gateway, reads=reads),
        },
    }


def _container(system: RecommenderSystem, secrets: list[Manifest]) -> Manifest:
    gateway = system.spec.gateway
    alive = {"httpGet": {"path": "/healthz", "port": "http"}}
    ready = {"httpGet": {"path": "/readyz", "port": "http"}}
    return {
        "name": COMPONENT,
        "image": image(system, gateway.image or GATEWAY),
        "args": ["--config", str(CONFIG / CONFIG_FILE)],
        "env": outbound_env(system),
        "ports": [{"name": "http", "containerPort": PORT}],
        **container_resources(gateway.resources),
        "securityContext": RESTRICTED_CONTAINER,
        "startupProbe": {**alive, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 60},
        # It asks the engines before it answers.
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVE_SECONDS)]}}},
        "volumeMounts": [
            {"name": "config", "mountPath": str(CONFIG), "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path inside the container
            token_mount(),
            *secrets,
            *outbound_mounts(system),
            *tokenizer_mounts(system),
        ],
    }


def _spread(chosen: dict[str, str], topology: str) -> Manifest:
    """One node shall not take all of them down; where there is one alone, they run there all the same."""
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": chosen},
        "matchLabelKeys": ["pod-template-hash"],
    }
