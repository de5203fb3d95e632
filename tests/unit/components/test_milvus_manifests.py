"""The vector store: one pod that keeps its data, or what the Milvus Operator is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from example_systems import example
from recsys_operator.components.manifest import MILVUS, Manifest
from recsys_operator.components.milvus import milvus_manifests
from recsys_operator.components.observed import Observed

OPERATED = Observed(apis=frozenset({MILVUS}))


def children(name: str = "minimal", observed: Observed = OPERATED, **spec: Any) -> list[Manifest]:
    return milvus_manifests(example(name, **spec), observed)


def one(kind: str, name: str = "minimal", **spec: Any) -> Manifest:
    found = [manifest for manifest in children(name, **spec) if manifest["kind"] == kind]
    return found[-1]


def test_the_pod_runs_milvus_with_etcd_inside_and_files_on_its_volume() -> None:
    (container,) = one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert container["args"] == ["milvus", "run", "standalone"]
    assert environment["ETCD_USE_EMBED"] == "true"
    assert environment["COMMON_STORAGETYPE"] == "local"
    (data,) = (mount for mount in container["volumeMounts"] if mount["name"] == "data")
    assert environment["ETCD_DATA_DIR"].startswith(data["mountPath"])


def test_etcd_is_configured_where_milvus_looks_and_listens_inside_the_pod_alone() -> None:
    (container,) = one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    (path,) = (variable["value"] for variable in container["env"] if variable["name"] == "ETCD_CONFIG_PATH")
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "etcd-config")
    ((file, text),) = one("ConfigMap")["data"].items()
    assert path == f"{mount['mountPath']}/{file}"
    assert yaml.safe_load(text)["listen-client-urls"] == "http://127.0.0.1:2379"


def test_health_is_asked_at_its_own_port() -> None:
    (container,) = one("StatefulSet")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert ports["metrics"] == 9091


def test_the_pods_are_named_by_the_headless_service() -> None:
    services = {
        manifest["metadata"]["name"]: manifest["spec"] for manifest in children() if manifest["kind"] == "Service"
    }
    assert services[one("StatefulSet")["spec"]["serviceName"]]["clusterIP"] == "None"
    assert services["minimal-milvus"]["type"] == "ClusterIP"


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_the_volume_outlives_the_resource_unless_it_shall_not(policy: str, owned: bool) -> None:
    claim = one("PersistentVolumeClaim", deletionPolicy=policy)
    assert ("ownerReferences" in claim["metadata"]) is owned


def test_a_system_that_is_made_again_finds_its_volume_by_name() -> None:
    """Another resource of the same name has another uid, and nothing of that is in the claim."""
    first, second = (milvus_manifests(example("minimal", uid=uid), Observed())[0] for uid in ("0a1b2c3d", "4e5f6a7b"))
    assert first == second
    volumes = one("StatefulSet")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": first["metadata"]["name"]}} in volumes


def test_size_and_class_of_the_volume_are_the_resources() -> None:
    claim = one("PersistentVolumeClaim", "full")["spec"]
    assert claim["resources"]["requests"]["storage"] == "50Gi"
    assert claim["storageClassName"] == "fast"
    assert "storageClassName" not in one("PersistentVolumeClaim")["spec"]


def test_an_external_store_has_no_children() -> None:
    external = {"managed": None, "external": {"uri": "http://milvus.data.svc:19530"}}
    assert not children(vectorStore=external)


def cluster(**spec: Any) -> Manifest:
    (found,) = children(vectorStore={"managed": {"mode": "Cluster", "storageClassName": "fast"}}, **spec)
    return found


def test_a_cluster_is_the_milvus_operators() -> None:
    found = cluster()
    assert (found["apiVersion"], found["kind"]) == ("milvus.io/v1beta1", "Milvus")
    assert found["spec"]["mode"] == "cluster"
    storage = found["spec"]["dependencies"]["storage"]["inCluster"]
    assert storage["values"]["persistence"] == {"size": "10Gi", "storageClass": "fast"}


@pytest.mark.parametrize(("policy", "gone"), [("Retain", False), ("Delete", True)])
def test_the_volumes_of_a_cluster_follow_the_deletion_policy(policy: str, gone: bool) -> None:
    dependencies = cluster(deletionPolicy=policy)["spec"]["dependencies"]
    for part in ("etcd", "storage"):
        assert dependencies[part]["inCluster"]["deletionPolicy"] == policy
        assert dependencies[part]["inCluster"]["pvcDeletion"] is gone


def test_without_the_milvus_operator_a_cluster_is_left_out() -> None:
    assert not children(observed=Observed(), vectorStore={"managed": {"mode": "Cluster"}})
