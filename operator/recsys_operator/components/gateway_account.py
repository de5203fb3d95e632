"""The gateway's account: it may look at EndpointSlices of its own namespace, and at nothing else."""

from __future__ import annotations

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.gateway_config import COMPONENT
from recsys_operator.components.labels import child_name, labels, metadata
from recsys_operator.components.manifest import Manifest

RULES = [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}]
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  a folder
TOKEN_SECONDS = 3600
"""The kubelet renews it long before; the gateway reads it again."""


def gateway_account(system: RecommenderSystem) -> list[Manifest]:
    name, marks = child_name(system, COMPONENT), labels(system, COMPONENT)
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": system.metadata.namespace or "default"}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(system, name, marks),
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": metadata(system, name, marks),
            "rules": [dict(rule) for rule in RULES],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(system, name, marks),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    ]


def token_volume() -> Manifest:
    """What the service account admission would mount, with a lifetime of our own."""
    return {
        "name": "api-token",
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "namespace",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                            }
                        ]
                    }
                },
            ],
        },
    }


def token_mount() -> Manifest:
    return {"name": "api-token", "mountPath": TOKEN_FOLDER, "readOnly": True}
