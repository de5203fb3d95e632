"""A child of a system as plain data, just as it would stand in YAML, and how a kind of the API is named."""

from __future__ import annotations

from typing import Any, NamedTuple

Manifest = dict[str, Any]
"""An object of the Kubernetes API. Builders make new ones; nobody changes one that was handed over."""


class ApiKind(NamedTuple):
    """A kind as the API server serves it. ``group`` is "" for the core group."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class ChildKey(NamedTuple):
    """What tells one child from another within a namespace; versions of an API are the same objects."""

    group: str
    kind: str
    name: str


def kind_of(manifest: Manifest) -> ApiKind:
    group, _, version = str(manifest["apiVersion"]).rpartition("/")
    return ApiKind(group, version, str(manifest["kind"]))


def key_of(manifest: Manifest) -> ChildKey:
    kind = kind_of(manifest)
    return ChildKey(kind.group, kind.kind, str(manifest["metadata"]["name"]))


SCALED_OBJECT = ApiKind("keda.sh", "v1alpha1", "ScaledObject")
POD_MONITOR = ApiKind("monitoring.coreos.com", "v1", "PodMonitor")
PROMETHEUS_RULE = ApiKind("monitoring.coreos.com", "v1", "PrometheusRule")
MILVUS = ApiKind("milvus.io", "v1beta1", "Milvus")
HTTP_ROUTE = ApiKind("gateway.networking.k8s.io", "v1", "HTTPRoute")

OPTIONAL_KINDS = (SCALED_OBJECT, POD_MONITOR, PROMETHEUS_RULE, MILVUS, HTTP_ROUTE)
"""Kinds of other projects: a cluster may lack them."""
