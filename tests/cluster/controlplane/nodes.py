"""The nodes of the cluster. kwok plays their kubelets."""

from __future__ import annotations

from typing import Any

KINDS = {"a100": ("NVIDIA-A100-SXM4-80GB", 4), "l4": ("NVIDIA-L4", 12), "cpu": ("", 2)}
"""By kind: the GPU and how many such nodes there are."""
GPUS_PER_NODE = 8
ROOM = {"cpu": "192", "memory": "2Ti", "ephemeral-storage": "8Ti", "pods": "250"}


def nodes() -> list[dict[str, Any]]:
    return [_node(f"{kind}-{n}", gpu) for kind, (gpu, count) in KINDS.items() for n in range(count)]


def _node(name: str, gpu: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": "test-a",
    }
    room = dict(ROOM)
    if gpu:
        labels["nvidia.com/gpu.product"] = gpu  # as NVIDIA's feature discovery labels them
        room["nvidia.com/gpu"] = str(GPUS_PER_NODE)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": room, "allocatable": room},
    }
