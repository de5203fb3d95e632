"""The kinds that the operator makes and watches: one table for requests, watches and rights."""

from __future__ import annotations

from typing import NamedTuple

from recsys_operator.components.manifest import (
    HTTP_ROUTE,
    MILVUS,
    POD_MONITOR,
    PROMETHEUS_RULE,
    SCALED_OBJECT,
    ApiKind,
    Manifest,
    kind_of,
)

SYSTEM_KIND = ApiKind("recsys.io", "v1alpha1", "RecommenderSystem")
POD = ApiKind("", "v1", "Pod")
CONFIG_MAP = ApiKind("", "v1", "ConfigMap")
EVENT = ApiKind("", "v1", "Event")
LEASE = ApiKind("coordination.k8s.io", "v1", "Lease")

CHILD_KINDS: dict[ApiKind, str] = {
    ApiKind("", "v1", "Service"): "services",
    CONFIG_MAP: "configmaps",
    ApiKind("", "v1", "ServiceAccount"): "serviceaccounts",
    ApiKind("", "v1", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ApiKind("apps", "v1", "Deployment"): "deployments",
    ApiKind("apps", "v1", "StatefulSet"): "statefulsets",
    ApiKind("batch", "v1", "Job"): "jobs",
    ApiKind("policy", "v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ApiKind("networking.k8s.io", "v1", "NetworkPolicy"): "networkpolicies",
    ApiKind("networking.k8s.io", "v1", "Ingress"): "ingresses",
    ApiKind("autoscaling", "v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ApiKind("rbac.authorization.k8s.io", "v1", "Role"): "roles",
    ApiKind("rbac.authorization.k8s.io", "v1", "RoleBinding"): "rolebindings",
}
"""Kind -> plural: what every cluster serves."""

OPTIONAL_CHILD_KINDS: dict[ApiKind, str] = {
    SCALED_OBJECT: "scaledobjects",
    POD_MONITOR: "podmonitors",
    PROMETHEUS_RULE: "prometheusrules",
    MILVUS: "milvuses",
    HTTP_ROUTE: "httproutes",
}
"""What other projects bring; a cluster may lack them."""

OTHER_KINDS: dict[ApiKind, str] = {
    SYSTEM_KIND: "recommendersystems",
    POD: "pods",
    EVENT: "events",
    LEASE: "leases",
}

_PLURALS = CHILD_KINDS | OPTIONAL_CHILD_KINDS | OTHER_KINDS


class UnknownKind(LookupError):
    """A manifest of a kind that the operator has no rights to: a mistake in a component."""


class Path(NamedTuple):
    """Where the API server has an object, or a kind's list where ``name`` is "". ``namespace`` "": in all of them."""

    kind: ApiKind
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        root = f"/apis/{self.kind.group}/{self.kind.version}" if self.kind.group else f"/api/{self.kind.version}"
        place = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{place}/{plural(self.kind)}" + (f"/{self.name}" if self.name else "")


def plural(kind: ApiKind) -> str:
    try:
        return _PLURALS[kind]
    except KeyError:
        raise UnknownKind(
            f"no plural is known for {kind.api_version} {kind.kind}: add it to the kinds' table"
        ) from None


def path_of(manifest: Manifest) -> Path:
    metadata = manifest["metadata"]
    return Path(kind_of(manifest), str(metadata["namespace"]), str(metadata["name"]))
