"""The vector store: Milvus standalone, all that it needs in one pod, or the Milvus Operator's resource for a cluster.

Standalone is what Milvus's own ``standalone_embed.sh`` starts: ``milvus run standalone`` with etcd inside the process
and its files on a local volume. The claim is a child of its own, not one of the StatefulSet's, so that it can outlive
the resource and be found again by its name.
"""

from __future__ import annotations

from recsys_operator.api.recommender_system import DeletionPolicy, RecommenderSystem
from recsys_operator.api.retrieval import ManagedVectorStore, VectorStoreMode
from recsys_operator.components.labels import child_name, labels, metadata, selector
from recsys_operator.components.manifest import MILVUS as MILVUS_KIND
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.observed import Observed
from recsys_operator.components.platform_pod import platform_pod
from recsys_operator.components.pod_template import RESTRICTED_CONTAINER, container_resources
from recsys_operator.components.release import MILVUS as MILVUS_IMAGE
from recsys_operator.components.release import image
from recsys_operator.components.retrieval_access import MILVUS, MILVUS_PORT
from recsys_operator.components.yaml_text import yaml_text

HEALTH_PORT = 9091
DATA = "/var/lib/milvus"
ETCD_CONFIG = "/etc/milvus/embedEtcd.yaml"
GRACE_SECONDS = 120
"""To flush what is in memory and to close etcd."""


def milvus_manifests(system: RecommenderSystem, observed: Observed) -> list[Manifest]:
    """Nothing where the store is external, or where a cluster is wanted and the Milvus Operator is not there."""
    managed = system.spec.vector_store.managed
    if managed is None:
        return []
    if managed.mode is VectorStoreMode.CLUSTER:
        return [_cluster(system, managed)] if MILVUS_KIND in observed.apis else []
    config = _etcd_config(system)
    return [
        _claim(system, managed),
        config,
        _headless_service(system),
        _service(system),
        _stateful_set(system, managed, config),
    ]


def _claim(system: RecommenderSystem, managed: ManagedVectorStore) -> Manifest:
    name = child_name(system, MILVUS)
    owned = system.spec.deletion_policy is DeletionPolicy.DELETE
    spec: Manifest = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": managed.size}}}
    if managed.storage_class_name:
        spec["storageClassName"] = managed.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(system, name, labels(system, MILVUS), owned=owned),
        "spec": spec,
    }


def _etcd_config(system: RecommenderSystem) -> Manifest:
    """etcd listens inside the pod alone: it takes no password, and nobody else needs it."""
    config = {
        "listen-client-urls": "http://127.0.0.1:2379",
        "advertise-client-urls": "http://127.0.0.1:2379",
        "quota-backend-bytes": 4 << 30,
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, child_name(system, MILVUS), labels(system, MILVUS)),
        "data": {"embedEtcd.yaml": yaml_text(config)},
    }


def _headless_name(system: RecommenderSystem) -> str:
    return f"{child_name(system, MILVUS)}-pods"


def _headless_service(system: RecommenderSystem) -> Manifest:
    """What a StatefulSet names its pods by."""
    ports = [{"name": "grpc", "port": MILVUS_PORT, "targetPort": "grpc"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(system, _headless_name(system), labels(system, MILVUS)),
        "spec": {"clusterIP": "None", "selector": selector(system, MILVUS), "ports": ports},
    }


def _service(system: RecommenderSystem) -> Manifest:
    ports = [
        {"name": "grpc", "port": MILVUS_PORT, "targetPort": "grpc", "appProtocol": "grpc"},
        {"name": "metrics", "port": HEALTH_PORT, "targetPort": "metrics"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(system, child_name(system, MILVUS), labels(system, MILVUS)),
        "spec": {"type": "ClusterIP", "selector": selector(system, MILVUS), "ports": ports},
    }


def _stateful_set(system: RecommenderSystem, managed: ManagedVectorStore, config: Manifest) -> Manifest:
    name = child_name(system, MILVUS)
    pod: Manifest = {
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [_container(system, managed)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": name}},
            {"name": "etcd-config", "configMap": {"name": name}},
            # Milvus keeps its pid file in the one, scratch files in the other.
            {"name": "run", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(system, name, labels(system, MILVUS)),
        "spec": {
            "replicas": 1,
            "serviceName": _headless_name(system),
            "selector": {"matchLabels": selector(system, MILVUS)},
            "template": platform_pod(system, MILVUS, pod, managed, reads=config["data"]),
        },
    }


def _container(system: RecommenderSystem, managed: ManagedVectorStore) -> Manifest:
    health = {"path": "/healthz", "port": "metrics"}
    return {
        "name": "milvus",
        "image": image(system, managed.image or MILVUS_IMAGE),
        "args": ["milvus", "run", "standalone"],
        "env": [
            {"name": "DEPLOY_MODE", "value": "STANDALONE"},
            {"name": "ETCD_USE_EMBED", "value": "true"},
            {"name": "ETCD_DATA_DIR", "value": f"{DATA}/etcd"},
            {"name": "ETCD_CONFIG_PATH", "value": ETCD_CONFIG},
            {"name": "COMMON_STORAGETYPE", "value": "local"},
        ],
        "ports": [
            {"name": "grpc", "containerPort": MILVUS_PORT},
            {"name": "metrics", "containerPort": HEALTH_PORT},
        ],
        **container_resources(managed.resources),
        # The image writes in places of its own: its root stays writable, by a user who owns nothing there.
        "securityContext": {**RESTRICTED_CONTAINER, "readOnlyRootFilesystem": False},
        # Segments are loaded from the volume before it says that it is well.
        "startupProbe": {"httpGet": health, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {"httpGet": health, "periodSeconds": 10, "timeoutSeconds": 5},
        "livenessProbe": {"httpGet": health, "periodSeconds": 30, "timeoutSeconds": 20, "failureThreshold": 3},
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "etcd-config", "mountPath": "/etc/milvus", "readOnly": True},
            {"name": "run", "mountPath": "/run/milvus"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a path inside the container
        ],
    }


def _cluster(system: RecommenderSystem, managed: ManagedVectorStore) -> Manifest:
    """A cluster is the Milvus Operator's business: it is told size, image, nodes and what becomes of the volumes."""
    delete = system.spec.deletion_policy is DeletionPolicy.DELETE
    lifetime = {"deletionPolicy": "Delete" if delete else "Retain", "pvcDeletion": delete}
    storage_class = {"storageClass": managed.storage_class_name} if managed.storage_class_name else {}
    components: Manifest = {"image": image(system, managed.image or MILVUS_IMAGE)}
    if system.spec.image_pull_secrets:
        components["imagePullSecrets"] = [{"name": secret.name} for secret in system.spec.image_pull_secrets]
    if managed.node_selector:
        components["nodeSelector"] = dict(managed.node_selector)
    if managed.tolerations:
        components["tolerations"] = [
            toleration.model_dump(mode="json", by_alias=True, exclude_none=True) for toleration in managed.tolerations
        ]
    components |= container_resources(managed.resources)
    return {
        "apiVersion": MILVUS_KIND.api_version,
        "kind": MILVUS_KIND.kind,
        "metadata": metadata(system, child_name(system, MILVUS), labels(system, MILVUS)),
        "spec": {
            "mode": "cluster",
            "components": components,
            "dependencies": {
                "msgStreamType": "woodpecker",
                "etcd": {"inCluster": {**lifetime, "values": {"persistence": dict(storage_class)}}},
                "storage": {
                    "inCluster": {**lifetime, "values": {"persistence": {"size": managed.size, **storage_class}}}
                },
            },
        },
    }
