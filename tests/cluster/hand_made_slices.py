"""EndpointSlices that a test writes itself, for engines of this machine, and the rights of a gateway that reads them.

An API server takes no loopback address for an endpoint, so engines listen on this machine's own address. No right is
needed for that, and no packet leaves the machine.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from controlplane.cluster import Cluster
from fake_engine.process import FakeEngineProcess

ACCOUNT = "gateway"
LABELS = {"recsys.io/system": "shop", "recsys.io/pool": "a"}
GATEWAYS = {"recsys.io/system": "shop", "app.kubernetes.io/component": "gateway"}


def own_address() -> str:
    """The IPv4 address that this machine would send from; the test is left out where there is only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation; connecting a datagram socket sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback, and EndpointSlices take none of those")
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback, and EndpointSlices take none of those")
    return address


class HandMadeSlices:
    """Slices of one namespace. Each engine has one of its own: they differ by their ports."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace

    def put(self, engine: FakeEngineProcess, **conditions: bool) -> None:
        """The engine's slice; without ``conditions`` it is ready."""
        endpoint = {"addresses": [engine.host], "conditions": {"ready": True, **conditions}}
        self._apply(f"engine-{engine.port}", LABELS, engine.port, [endpoint])

    def end(self, engine: FakeEngineProcess) -> None:
        """The engine's pod is being deleted, and still serves."""
        self.put(engine, ready=False, serving=True, terminating=True)

    def delete(self, engine: FakeEngineProcess) -> None:
        self._cluster.kubectl("delete", "endpointslice", f"engine-{engine.port}", f"--namespace={self.namespace}")

    def count_gateways(self, number: int) -> None:
        endpoints = [{"addresses": [f"10.1.0.{n}"], "conditions": {"ready": True}} for n in range(1, number + 1)]
        self._apply("gateways", GATEWAYS, 8080, endpoints)

    def _apply(self, name: str, labels: dict[str, str], port: int, endpoints: list[dict[str, Any]]) -> None:
        document = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": endpoints,
        }
        self._cluster.kubectl.apply(document, namespace=self.namespace)


def gateway_kubeconfig(cluster: Cluster, namespace: str) -> Path:
    """Of a service account that may get, list and watch EndpointSlices, and nothing else."""
    rights = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    version = "rbac.authorization.k8s.io/v1"
    cluster.kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {"apiVersion": version, "kind": "Role", "metadata": {"name": ACCOUNT}, "rules": [rights]},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": {"name": ACCOUNT},
            "subjects": [subject],
            "roleRef": role,
        },
        namespace=namespace,
    )
    return cluster.account_kubeconfig(namespace, ACCOUNT)
