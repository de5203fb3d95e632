"""A cluster as tests and people reach it: a kubeconfig, kubectl, and kubeconfigs of service accounts."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CALL_SECONDS = 120.0


class Kubectl:
    """The kubectl at ``program``, as the user of ``kubeconfig``. What fails raises, with what kubectl said."""

    def __init__(self, program: Path, kubeconfig: Path, cache: Path) -> None:
        self.program = program
        self.kubeconfig = kubeconfig
        self._command = [str(program), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}"]

    def __call__(self, *arguments: str, given: str | None = None, seconds: float = CALL_SECONDS) -> str:
        """What kubectl prints; ``given`` is its standard input."""
        done = subprocess.run(
            [*self._command, *arguments], input=given, capture_output=True, text=True, timeout=seconds
        )
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The answer as data: ``kubectl.json("get", "pod", "a")``."""
        return json.loads(self(*arguments, "--output=json"))

    def apply(self, *manifests: Mapping[str, Any], namespace: str | None = None, manager: str = "kubectl") -> None:
        """Server-side apply, in one call."""
        where = [f"--namespace={namespace}"] if namespace else []
        self("apply", "--server-side", f"--field-manager={manager}", *where, "--filename=-", given=as_list(manifests))

    def dry_run(self, *manifests: Mapping[str, Any], namespace: str, manager: str) -> list[dict[str, Any]]:
        """What the objects would be after a forced server-side apply."""
        how = ("--server-side", "--force-conflicts", "--dry-run=server", f"--field-manager={manager}")
        where = (f"--namespace={namespace}", "--filename=-", "--output=json")
        answer = json.loads(self("apply", *how, *where, given=as_list(manifests)))
        found: list[dict[str, Any]] = answer["items"] if answer["kind"] == "List" else [answer]
        return found


class KubectlFailed(Exception):
    """kubectl ended with an error; the message holds what it said."""


def as_list(manifests: Iterable[Mapping[str, Any]]) -> str:
    """``manifests`` as one JSON document that kubectl takes for a file."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def write_kubeconfig(path: Path, server: str, authority: Path, user: Mapping[str, str]) -> Path:
    """A kubeconfig (JSON, which is YAML) that holds the CA, so that it can be copied elsewhere."""
    data = base64.b64encode(authority.read_bytes()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "recsys-test", "cluster": {"server": server, "certificate-authority-data": data}}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "recsys-test", "context": {"cluster": "recsys-test", "user": "user"}}],
        "current-context": "recsys-test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
    return path


class Cluster:
    """A cluster that somebody else runs."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self.folder = folder
        self.kubectl = kubectl

    @property
    def kubeconfig(self) -> Path:
        """Of the administrator."""
        return self.kubectl.kubeconfig

    def kubectl_as(self, kubeconfig: Path) -> Kubectl:
        return Kubectl(self.kubectl.program, kubeconfig, self.folder / "kubectl-cache")

    def account_kubeconfig(self, namespace: str, account: str, seconds: int = 3600) -> Path:
        """A kubeconfig with a fresh token of a service account."""
        token = self.kubectl("create", "token", account, f"--namespace={namespace}", f"--duration={seconds}s")
        given = self.kubectl.json("config", "view", "--raw", "--minify")["clusters"][0]["cluster"]
        authority = self.folder / "authority.crt"
        authority.write_bytes(base64.b64decode(given["certificate-authority-data"]))
        path = self.folder / f"{namespace}-{account}.kubeconfig"
        return write_kubeconfig(path, given["server"], authority, {"token": token.strip()})
