"""The operator as it is installed: its definition, its rights, and a process that has just its account's token."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from controlplane.cluster import Cluster, Kubectl
from namespaces import new_namespace
from recsys_operator.install import NAME, Installation, installation
from running_operator import RunningOperator
from waiting import wait_for

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "manifests" / "examples" / "quickstart.yaml"
Manifest = dict[str, Any]
READY_SECONDS = 60.0


def install(kubectl: Kubectl, wanted: Installation) -> None:
    define(kubectl)
    accounts(kubectl, wanted)


def define(kubectl: Kubectl) -> None:
    """The resource's definition."""
    kubectl("apply", "--server-side", "--force-conflicts", f"--filename={ROOT / 'manifests' / 'crd'}")
    wait_for(lambda: _is_established(kubectl), "the definition")


def _is_established(kubectl: Kubectl) -> bool:
    """`kubectl wait` gives up on a definition that is so new that it has no conditions."""
    found = kubectl.json("get", "crd", "recommendersystems.recsys.io").get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in found)


def accounts(kubectl: Kubectl, wanted: Installation) -> None:
    """Account and rights; the Deployment is left out: the process under test stands for its pod."""
    kubectl.apply(*(part for part in installation(wanted) if part["kind"] != "Deployment"))


@contextmanager
def installed_operator(
    cluster: Cluster,
    folder: Path,
    home: str,
    *namespaces: str,
    options: tuple[str, ...] = (),
    parts: Callable[[Kubectl, Installation], None] = install,
) -> Iterator[RunningOperator]:
    """Over the whole cluster, or over ``namespaces`` alone; it holds the lease when this returns."""
    with new_namespace(cluster.kubectl, home):
        parts(cluster.kubectl, Installation(namespaces, home))
        kubeconfig = cluster.account_kubeconfig(home, NAME)
        operator = RunningOperator(kubeconfig, folder / f"{home}.log", namespaces, home, options)
        try:
            operator.start()
            wait_for(lambda: leads(operator), "the operator's lease")
            yield operator
        finally:
            operator.stop()


def leads(operator: RunningOperator) -> bool:
    return operator.metrics().get("recsys_operator_is_leader") == 1


def home_name() -> str:
    return f"operator-{os.getpid()}-{os.urandom(2).hex()}"


def quickstart(name: str = "quickstart", **spec: Any) -> Manifest:
    """``manifests/examples/quickstart.yaml`` with other values of some fields of its spec."""
    found: Manifest = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    found["metadata"]["name"] = name
    found["spec"] |= spec
    return found


def engine(image: str = "registry.test/engine:1", **settings: Any) -> Manifest:
    """A base model that an engine of its own image serves, with one pod."""
    pool = {"name": "default", "slots": 2, **settings.pop("pool", {})}
    return {
        "model": {"uri": "hf://test/model"},
        "engine": {"type": "VLLM", "image": image},
        "pools": [pool],
        **settings,
    }


class System:
    """A RecommenderSystem in a namespace, as kubectl sees it."""

    def __init__(self, kubectl: Kubectl, namespace: str, name: str = "quickstart") -> None:
        self.kubectl = kubectl
        self.namespace = namespace
        self.name = name

    def apply(self, manifest: Manifest) -> None:
        self.kubectl.apply(manifest, namespace=self.namespace)

    def delete_all(self) -> None:
        """It and others of its namespace, not waited for."""
        self("delete", "recsys", "--all", "--wait=false")

    def patch(self, **spec: Any) -> None:
        self("patch", "recsys", self.name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def __call__(self, *arguments: str) -> str:
        return self.kubectl(*arguments, f"--namespace={self.namespace}")

    def get(self, *arguments: str) -> Any:
        return self.kubectl.json("get", *arguments, f"--namespace={self.namespace}")

    def wait_until_ready(self) -> None:
        wait = ("wait", "--for=condition=Ready", f"recsys/{self.name}", f"--timeout={READY_SECONDS:g}s")
        self.kubectl(*wait, f"--namespace={self.namespace}", seconds=READY_SECONDS + 10)

    def condition(self, kind: str) -> Manifest:
        """Empty where it is absent."""
        found = self.get("recsys", self.name)
        conditions = found.get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_for_reason(self, kind: str, reason: str) -> str:
        """The message, once the condition has the reason."""
        wait_for(lambda: self.condition(kind).get("reason") == reason, f"{kind} with {reason}", READY_SECONDS)
        return str(self.condition(kind)["message"])

    def children(self) -> dict[str, Manifest]:
        """By ``Kind/name``: everything that carries the system's label, pods aside."""
        kinds = (
            "services,configmaps,serviceaccounts,persistentvolumeclaims,deployments,statefulsets,jobs,"
            "poddisruptionbudgets,networkpolicies,ingresses,horizontalpodautoscalers,roles,rolebindings"
        )
        found = self.get(kinds, f"--selector=recsys.io/system={self.name}")
        return {f"{body['kind']}/{body['metadata']['name']}": body for body in found["items"]}

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of the events about the system."""
        items = self.get("events", f"--field-selector=involvedObject.name={self.name}")["items"]
        return [(event["reason"], event["message"]) for event in items]
