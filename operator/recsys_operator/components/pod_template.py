"""What the pods of all children have in common: what they may do, how they reach the outside, where they run."""

from __future__ import annotations

from typing import Any

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.workload import Placement, Resources
from recsys_operator.components.labels import CHECKSUM, digest
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.components.overlay import overlay
from recsys_operator.components.release import OPERATOR, image

OUR_USER = 65532
"""Of our own images; also the group that owns the files which init containers fetch."""

RESTRICTED_CONTAINER: Manifest = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Of our own images: fits the pod security standard "restricted"."""

BASELINE_CONTAINER: Manifest = {"allowPrivilegeEscalation": False}
"""Of the engines' images, which run as root and write where they like: fits the pod security standard "baseline"."""

_CA_SOURCE = "/etc/recsys/ca-source"
_CA_FOLDER = "/etc/recsys/ca"
_CA_FILE = f"{_CA_FOLDER}/ca.crt"
_INSIDE = ("localhost", "127.0.0.1", ".svc", ".cluster.local", "$(KUBERNETES_SERVICE_HOST)")
"""What no proxy can reach. The kubelet puts the API server's address in the place of the last one."""


def restricted_pod(user: int = OUR_USER) -> Manifest:
    """Security context of a pod that fits the standard "restricted"."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        # Else the kubelet walks through all files of a volume at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def baseline_pod() -> Manifest:
    """Security context of an engine's pod. Its volumes belong to our group, since our init container fills them."""
    return {
        "fsGroup": OUR_USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_init_container() -> Manifest:
    """Security context of our init container in an engine's pod, which as a pod may run as root."""
    return {**RESTRICTED_CONTAINER, "runAsNonRoot": True, "runAsUser": OUR_USER, "runAsGroup": OUR_USER}


def pull_secrets(system: RecommenderSystem) -> Manifest:
    """The part of a pod's spec that says how its images are pulled."""
    secrets = system.spec.image_pull_secrets
    return {"imagePullSecrets": [{"name": secret.name} for secret in secrets]} if secrets else {}


def outbound_env(system: RecommenderSystem) -> list[Manifest]:
    """Variables of a container that reaches out of the cluster: the proxy, the hub's mirror, the certificates."""
    spec = system.spec
    variables: dict[str, str] = {}
    if spec.proxy is not None:
        if spec.proxy.http is not None:
            variables["HTTP_PROXY"] = spec.proxy.http
        if spec.proxy.https is not None:
            variables["HTTPS_PROXY"] = spec.proxy.https
        variables["NO_PROXY"] = ",".join((*_INSIDE, *spec.proxy.no_proxy))
    if spec.hf_endpoint is not None:
        variables["HF_ENDPOINT"] = spec.hf_endpoint
    if spec.ca_config_map_ref is not None:
        variables["SSL_CERT_FILE"] = _CA_FILE
    return [{"name": name, "value": value} for name, value in variables.items()]


def outbound_volumes(system: RecommenderSystem) -> list[Manifest]:
    """Volumes of a pod with such a container."""
    reference = system.spec.ca_config_map_ref
    if reference is None:
        return []
    source = {"name": reference.name, "items": [{"key": reference.key, "path": "ca.crt"}]}
    return [{"name": "ca-source", "configMap": source}, {"name": "ca", "emptyDir": {"sizeLimit": "4Mi"}}]


def outbound_mounts(system: RecommenderSystem) -> list[Manifest]:
    """Mounts of such a container."""
    if system.spec.ca_config_map_ref is None:
        return []
    return [{"name": "ca", "mountPath": _CA_FOLDER, "readOnly": True}]


def outbound_init_containers(system: RecommenderSystem) -> list[Manifest]:
    """Has to run before such a container: SSL_CERT_FILE replaces the public certificates, so both are joined."""
    if system.spec.ca_config_map_ref is None:
        return []
    return [
        {
            "name": "join-certificates",
            "image": image(system, OPERATOR),
            "command": ["python", "-m", "recsys_operator.pods.join_certificates", f"{_CA_SOURCE}/ca.crt", _CA_FILE],
            "securityContext": restricted_init_container(),
            "volumeMounts": [
                {"name": "ca-source", "mountPath": _CA_SOURCE, "readOnly": True},
                {"name": "ca", "mountPath": _CA_FOLDER},
            ],
        }
    ]


def outbound_checksum(system: RecommenderSystem, observed: Observed) -> Manifest:
    """Annotation of the pod's template: other certificates give new pods."""
    reference = system.spec.ca_config_map_ref
    if reference is None:
        return {}
    return {CHECKSUM: digest(observed.digests.get(f"ConfigMap/{reference.name}"))}


def container_resources(resources: Resources) -> Manifest:
    """The part of a container that says what it is given."""
    given = {"requests": resources.requests, "limits": resources.limits}
    # As text: the API server gives whole numbers back so.
    filled = {name: {part: str(value) for part, value in amounts.items()} for name, amounts in given.items() if amounts}
    return {"resources": filled} if filled else {}


def placed(template: Manifest, placement: Placement) -> Manifest:
    """``template`` with the nodes that its pods may run on, and with the resource's own ``podTemplate`` merged last.

    Labels that were built stay as they are: the Deployment's selector rests on them.
    """
    where: dict[str, Any] = {}
    if placement.node_selector:
        where["nodeSelector"] = dict(placement.node_selector)
    if placement.tolerations:
        where["tolerations"] = [
            toleration.model_dump(mode="json", by_alias=True, exclude_none=True) for toleration in placement.tolerations
        ]
    built = overlay(template, {"spec": where})
    if placement.pod_template is None:
        return built
    labels = template.get("metadata", {}).get("labels", {})
    return overlay(overlay(built, placement.pod_template), {"metadata": {"labels": labels}})
