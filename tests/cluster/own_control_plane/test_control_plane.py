"""The control plane itself: it starts, its parts can be killed, and nothing that it acknowledged is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from controlplane.binaries import NoBinaries, binaries
from controlplane.cluster import KubectlFailed
from controlplane.control_plane import ControlPlane
from controlplane.optional_apis import OptionalApi, installed
from waiting import wait_for
from workloads import deployment, pod


def settings(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"written": name}}


def test_a_folder_that_lacks_programs_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(NoBinaries, match="lacks kube-apiserver, kube-controller-manager"):
        binaries(print)


def test_another_one_runs_a_deployment_sees_nothing_of_the_first_and_leaves_no_process(
    own_control_plane: ControlPlane, tmp_path: Path
) -> None:
    own_control_plane.kubectl.apply(settings("mine"), namespace="default")
    with ControlPlane(own_control_plane.binaries, tmp_path) as other:
        other.kubectl.apply(deployment("engine", gpus=1), namespace="default")
        other.kubectl("wait", "deployment/engine", "--for=condition=Available", "--timeout=30s")
        assert all(component.running for component in other.components)
        with pytest.raises(KubectlFailed, match="not found"):
            other.kubectl("get", "configmap", "mine")
    assert not any(component.running for component in other.components)


def test_a_killed_etcd_loses_nothing_that_was_acknowledged(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.kubectl("create", "namespace", "etcd")
    for n in range(20):
        plane.kubectl.apply(settings(f"before-{n}"), namespace="etcd")
    plane.etcd.kill()
    plane.etcd.start()
    plane.wait_until_ready()
    plane.kubectl.apply(settings("after"), namespace="etcd")
    found = {item["metadata"]["name"] for item in plane.kubectl.json("get", "configmaps", "-n", "etcd")["items"]}
    assert found >= {*(f"before-{n}" for n in range(20)), "after"}


def test_a_killed_api_server_comes_back_and_controllers_go_on(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.apiserver.kill()
    assert not plane.ready()
    plane.apiserver.start()
    plane.wait_until_ready()
    plane.restart_controllers()
    plane.kubectl.apply(deployment("later"), namespace="default")
    plane.kubectl("wait", "deployment/later", "--for=condition=Available", "--timeout=60s", seconds=90)


def test_without_kwok_pods_wait(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.kwok.stop()
    plane.kubectl.apply(pod("waits"), namespace="default")
    plane.kubectl("wait", "pod/waits", "--for=condition=PodScheduled", "--timeout=30s")
    assert plane.kubectl.json("get", "pod", "waits")["status"]["phase"] == "Pending"
    plane.kwok.start()
    # Another process takes the nodes over only when the leases of the one before have run out, after up to 40 s.
    plane.kubectl("wait", "pod/waits", "--for=condition=Ready", "--timeout=90s", seconds=100)


def test_a_service_account_may_do_what_its_role_says(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.kubectl("create", "namespace", "accounts")
    plane.kubectl("create", "serviceaccount", "reader", "-n", "accounts")
    plane.kubectl("create", "role", "reader", "-n", "accounts", "--verb=get,list", "--resource=configmaps")
    plane.kubectl(
        "create", "rolebinding", "reader", "-n", "accounts", "--role=reader", "--serviceaccount=accounts:reader"
    )
    reader = plane.kubectl_as(plane.account_kubeconfig("accounts", "reader"))
    assert reader.json("get", "configmaps", "-n", "accounts")["kind"] == "List"
    with pytest.raises(KubectlFailed, match='"system:serviceaccount:accounts:reader" cannot list resource "secrets"'):
        reader("get", "secrets", "-n", "accounts")


def test_writes_are_in_the_audit_log(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    plane.kubectl.apply(settings("audited"), namespace="default", manager="tester")

    def written() -> bool:
        lines = [json.loads(line) for line in plane.audit_log.read_text().splitlines() if '"audited"' in line]
        return any(line["verb"] == "patch" and line["user"]["username"] == "admin" for line in lines)

    wait_for(written, "the write in the audit log")


def test_optional_apis_come_and_go(own_control_plane: ControlPlane) -> None:
    kubectl = own_control_plane.kubectl
    with installed(kubectl, *OptionalApi):
        names = kubectl("api-resources", "--output=name").split()
        assert {
            "scaledobjects.keda.sh",
            "podmonitors.monitoring.coreos.com",
            "prometheusrules.monitoring.coreos.com",
            "milvuses.milvus.io",
            "httproutes.gateway.networking.k8s.io",
        } <= set(names)
    assert "scaledobjects.keda.sh" not in kubectl("api-resources", "--output=name", "--cached=false").split()
