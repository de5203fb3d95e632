"""What the two accounts may not do: tried, with their own tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from controlplane.cluster import Cluster, Kubectl, KubectlFailed
from example_systems import example
from installed_operator import install
from namespaces import new_namespace
from recsys_operator.components.desired import desired
from recsys_operator.components.observed import Observed
from recsys_operator.install import NAME, Installation


@pytest.fixture(scope="module")
def home(cluster: Cluster) -> Iterator[str]:
    """The operator's account is here; no operator runs."""
    with new_namespace(cluster.kubectl) as name:
        install(cluster.kubectl, Installation(place=name))
        yield name


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
def test_the_operator_may_not(as_operator: Kubectl, attempt: str) -> None:
    with pytest.raises(KubectlFailed):
        as_operator("auth", "can-i", *attempt.split(), "--namespace=default", "--quiet")


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
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    children = desired(example("minimal", namespace=namespace), Observed())
    rights = [child for child in children if child["kind"] in {"ServiceAccount", "Role", "RoleBinding"}]
    for child in rights:
        del child["metadata"]["ownerReferences"]  # the garbage collector finds no such owner
    kubectl.apply(*rights)
    gateway = cluster.kubectl_as(cluster.account_kubeconfig(namespace, "minimal-gateway"))

    gateway("get", "endpointslices", f"--namespace={namespace}")
    for attempt in ("secrets", "configmaps", "pods", "recommendersystems", "services"):
        with pytest.raises(KubectlFailed, match="forbidden"):
            gateway("get", attempt, f"--namespace={namespace}")
    with pytest.raises(KubectlFailed, match="forbidden"):
        gateway("get", "endpointslices", "--namespace=default")
    with pytest.raises(KubectlFailed, match="forbidden"):
        gateway("delete", "endpointslice", "any", f"--namespace={namespace}")
