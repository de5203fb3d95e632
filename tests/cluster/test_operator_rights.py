"""What the two accounts may not do: tried, with their own tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from controlplane.cluster import Cluster, Kubectl, KubectlFailed
from installed_operator import System, home_name, install, installed_operator, quickstart
from recsys_operator.install import NAME, Installation


@pytest.fixture(scope="module")
def home(cluster: Cluster) -> Iterator[str]:
    """The operator's account is here; no operator runs."""
    name = home_name()
    cluster.kubectl("create", "namespace", name)
    install(cluster.kubectl, Installation(place=name))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def as_operator(cluster: Cluster, home: str) -> Kubectl:
    return cluster.kubectl_as(cluster.account_kubeconfig(home, NAME))


@pytest.mark.parametrize(
    "attempt",
    [
        "get secrets",
        "list secrets",
        "create pods",
        "delete pods",
        "create pods --subresource=exec",
        "get pods --subresource=log",
        "delete persistentvolumeclaims",
        "update recommendersystems",
        "delete recommendersystems",
        "create clusterroles",
        "create clusterrolebindings",
        "escalate roles",
        "bind roles",
        "impersonate users",
        "get nodes",
        "create serviceaccounts --subresource=token",
        "create namespaces",
        "create daemonsets",
    ],
)
def test_the_operator_may_not(as_operator: Kubectl, namespace: str, attempt: str) -> None:
    with pytest.raises(KubectlFailed):
        as_operator("auth", "can-i", *attempt.split(), f"--namespace={namespace}", "--quiet")


def test_the_operator_cannot_read_a_secret(as_operator: Kubectl, kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "secret", "generic", "key", "--from-literal=key=1", f"--namespace={namespace}")

    with pytest.raises(KubectlFailed, match="forbidden"):
        as_operator("get", "secret", "key", f"--namespace={namespace}")


def test_the_operator_cannot_grant_what_it_has_not(as_operator: Kubectl, namespace: str) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }

    with pytest.raises(KubectlFailed, match="attempting to grant RBAC permissions not currently held"):
        as_operator("create", "--filename=-", f"--namespace={namespace}", given=json.dumps(role))


def test_the_gateways_account_may_look_at_endpoint_slices_and_at_nothing_else(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    system = System(kubectl, namespace)
    with installed_operator(cluster, tmp_path_factory.mktemp("operator"), home_name(), namespace):
        system.apply(quickstart())
        system.wait_until_ready()
    gateway = cluster.kubectl_as(cluster.account_kubeconfig(namespace, "quickstart-gateway"))

    assert gateway("get", "endpointslices", f"--namespace={namespace}")
    for attempt in ("secrets", "configmaps", "pods", "recommendersystems", "services"):
        with pytest.raises(KubectlFailed, match="forbidden"):
            gateway("get", attempt, f"--namespace={namespace}")
    with pytest.raises(KubectlFailed, match="forbidden"):
        gateway("get", "endpointslices", "--namespace=default")
    with pytest.raises(KubectlFailed):
        gateway("delete", "endpointslices", "--all", f"--namespace={namespace}")
