"""The operator as a process of its own against a control plane: it can be killed and started again."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.cluster import Cluster
from controlplane.component import Component
from recsys_operator.local.ports import free_ports
from waiting import wait_for

START_SECONDS = 60.0


class RunningOperator(Component):
    """``recsys operator run`` as the user of ``kubeconfig``, over the whole cluster or just in ``namespaces``."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        namespaces: tuple[str, ...] = (),
        lease: str = "default",
        options: tuple[str, ...] = (),
    ) -> None:
        (self.port,) = free_ports(1)
        command = [str(Path(sys.executable).with_name("recsys")), "operator", "run", f"--port={self.port}"]
        command += [f"--lease-namespace={lease}", *(f"--namespace={namespace}" for namespace in namespaces)]
        command += options
        super().__init__("operator", command, log, {"KUBECONFIG": str(kubeconfig)})

    def start(self) -> None:
        """Return when it answers; it may still wait for the lease."""
        super().start()
        wait_for(self._answers, "the operator's health", START_SECONDS)

    def _answers(self) -> bool:
        if failure := self.failure():
            raise AssertionError(failure)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> dict[str, float]:
        """By series, as Prometheus writes it: ``recsys_operator_reconciles_total{outcome="done"}``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        series = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in series}

    def logged(self) -> list[dict[str, Any]]:
        """What it wrote so far, each line of JSON."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in status if line.startswith("VmRSS:"))
        return int(kilobytes) * 1024


@contextmanager
def running_operator(cluster: Cluster, folder: Path, *namespaces: str) -> Iterator[RunningOperator]:
    """An operator with the administrator's rights that answers; ended in order."""
    lease = namespaces[0] if namespaces else "default"
    operator = RunningOperator(cluster.kubeconfig, folder / f"operator-{os.getpid()}.log", namespaces, lease)
    try:
        operator.start()
        yield operator
    finally:
        operator.stop()
