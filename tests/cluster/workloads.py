"""Small workloads for tests of the control plane itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]


def deployment(
    name: str, *, gpus: int = 0, replicas: int = 1, image: str = "registry.test/engine:1", notes: Mapping[str, str] = {}
) -> Manifest:
    container: Manifest = {"name": "main", "image": image}
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": dict(notes)},
                "spec": {"containers": [container]},
            },
        },
    }


def pod(name: str, *, notes: Mapping[str, str] = {}, container: Mapping[str, Any] = {}, **spec: Any) -> Manifest:
    """``container`` adds to its only container, ``spec`` to its spec."""
    main = {"name": "main", "image": "registry.test/engine:1", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": dict(notes)},
        "spec": {"containers": [main], **spec},
    }


def job(name: str, *, arguments: list[str], notes: Mapping[str, str] = {}, backoff_limit: int = 0) -> Manifest:
    container = {"name": "main", "image": "registry.test/loader:1", "args": arguments}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": backoff_limit,
            "template": {
                "metadata": {"annotations": dict(notes)},
                "spec": {"restartPolicy": "Never", "containers": [container]},
            },
        },
    }


def claim(name: str, storage_class: str | None = None, mode: str = "ReadWriteOnce") -> Manifest:
    spec: Manifest = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
