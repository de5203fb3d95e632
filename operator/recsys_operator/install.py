"""What installs the operator: account, rights, Deployment; for a whole cluster or for named namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from recsys_operator.components.labels import MANAGER
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.release import OPERATOR, VERSION
from recsys_operator.rbac import lease_rules, rules

NAME = "recsys-operator"
PORT = 8081
DEFAULT_NAMESPACE = "recsys"
USER = 65532
_RBAC = "rbac.authorization.k8s.io"
_LABELS = {"app.kubernetes.io/name": "recsys-operator", "app.kubernetes.io/version": VERSION}
_SELECTOR = {"app.kubernetes.io/name": "recsys-operator"}


@dataclass(frozen=True, slots=True)
class Installation:
    """``namespaces`` empty: the whole cluster. ``place``: where the operator runs."""

    namespaces: tuple[str, ...] = ()
    place: str | None = None
    image: str | None = None

    @property
    def home(self) -> str:
        return self.place or (self.namespaces[0] if self.namespaces else DEFAULT_NAMESPACE)


def installation(wanted: Installation) -> list[Manifest]:
    """In the order of applying. A namespaced one asks for nothing that a namespace's owner cannot grant."""
    if wanted.namespaces:
        access = [part for namespace in wanted.namespaces for part in _namespaced(wanted, namespace)]
        first = []
    else:
        access = _cluster_wide(wanted)
        first = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.home}}]
    return [*first, _account(wanted), *access, *_lease_access(wanted), _deployment(wanted)]


def document(wanted: Installation) -> str:
    """As YAML; without anchors, which people stumble over."""
    return yaml.dump_all(installation(wanted), Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _account(wanted: Installation) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(NAME, wanted.home)}


def _cluster_wide(wanted: Installation) -> list[Manifest]:
    return [
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME, "labels": _LABELS},
            "rules": rules(),
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME, "labels": _LABELS},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": NAME},
            "subjects": [_subject(wanted)],
        },
    ]


def _namespaced(wanted: Installation, namespace: str) -> list[Manifest]:
    return [_role(NAME, namespace, rules()), _role_binding(wanted, NAME, namespace)]


def _lease_access(wanted: Installation) -> list[Manifest]:
    name = f"{NAME}-lease"
    return [_role(name, wanted.home, lease_rules(NAME)), _role_binding(wanted, name, wanted.home)]


def _role(name: str, namespace: str, granted: list[Manifest]) -> Manifest:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": _metadata(name, namespace),
        "rules": granted,
    }


def _role_binding(wanted: Installation, name: str, namespace: str) -> Manifest:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": _metadata(name, namespace),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": name},
        "subjects": [_subject(wanted)],
    }


def _subject(wanted: Installation) -> Manifest:
    return {"kind": "ServiceAccount", "name": NAME, "namespace": wanted.home}


def _deployment(wanted: Installation) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(NAME, wanted.home),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _SELECTOR},
            "template": {"metadata": {"labels": _LABELS}, "spec": _pod(wanted)},
        },
    }


def _pod(wanted: Installation) -> Manifest:
    """Two replicas: one acts, the other takes over within the lease's duration."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": _SELECTOR},
    }
    return {
        "serviceAccountName": NAME,
        "terminationGracePeriodSeconds": 30,
        "topologySpreadConstraints": [spread],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(wanted)],
    }


def _container(wanted: Installation) -> Manifest:
    served = [f"--namespace={namespace}" for namespace in wanted.namespaces]
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10}
    return {
        "name": MANAGER,
        "image": wanted.image or OPERATOR,
        "command": ["recsys", "operator", "run"],
        "args": [f"--port={PORT}", *served],
        "ports": [{"name": "http", "containerPort": PORT}],
        "livenessProbe": {**probe, "failureThreshold": 6, "timeoutSeconds": 5},
        "readinessProbe": probe,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _metadata(name: str, namespace: str) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": _LABELS}
