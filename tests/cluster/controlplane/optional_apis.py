"""APIs of other projects that a cluster may have: cut-down definitions, installed and removed on demand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from controlplane.cluster import Kubectl

FOLDER = Path(__file__).with_name("crds")


class OptionalApi(StrEnum):
    """The value names the file."""

    KEDA = "keda"
    PROMETHEUS_OPERATOR = "prometheus-operator"
    MILVUS_OPERATOR = "milvus-operator"
    GATEWAY_API = "gateway-api"


def install(kubectl: Kubectl, api: OptionalApi) -> None:
    """Return when the API server serves it."""
    file = f"--filename={FOLDER / f'{api}.yaml'}"
    kubectl("apply", "--server-side", file)
    kubectl("wait", file, "--for=condition=Established", "--timeout=30s")


@contextlib.contextmanager
def installed(kubectl: Kubectl, *apis: OptionalApi) -> Iterator[None]:
    """The cluster has ``apis`` meanwhile. Removing one removes its objects."""
    for api in apis:
        install(kubectl, api)
    try:
        yield
    finally:
        for api in apis:
            kubectl("delete", f"--filename={FOLDER / f'{api}.yaml'}", "--ignore-not-found")
