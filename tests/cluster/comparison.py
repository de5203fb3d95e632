"""Whether a system's children are exactly what its spec asks for, as the API server itself judges it."""

from __future__ import annotations

from typing import Any

from controlplane.cluster import KubectlFailed
from installed_operator import System
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.desired import desired
from recsys_operator.components.labels import MANAGER
from recsys_operator.components.observed import Observed
from recsys_operator.reconcile.plan import with_digest
from running_operator import RunningOperator
from waiting import wait_for

Manifest = dict[str, Any]
CONVERGE_SECONDS = 90.0
WRITTEN_BY_THE_SERVER = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")


def differences(system: System) -> list[str]:
    """What is missing, left over, on its way out or otherwise than asked; empty where all is as it should be.

    For a system of built-in kinds alone, without canaries and autoscalers.
    """
    body = system.get("recsys", system.name)
    body.pop("status", None)
    wanted = {_name(manifest): with_digest(manifest) for manifest in _desired(body)}
    live = system.children()
    if set(wanted) != set(live):
        missing = [f"{name} is missing" for name in sorted(set(wanted) - set(live))]
        return missing + [f"{name} is left over" for name in sorted(set(live) - set(wanted))]
    leaving = [f"{name} is on its way out" for name, child in live.items() if "deletionTimestamp" in child["metadata"]]
    applied = system.kubectl.dry_run(*wanted.values(), namespace=system.namespace, manager=MANAGER)
    return leaving + [
        f"{_name(after)} is otherwise than asked"
        for after in applied
        if _content(after) != _content(live[_name(after)])
    ]


def _desired(body: Manifest) -> list[Manifest]:
    return list(desired(RecommenderSystem.model_validate(body), Observed()))


def _name(body: Manifest) -> str:
    return f"{body['kind']}/{body['metadata']['name']}"


def _content(body: Manifest) -> Manifest:
    metadata = {name: value for name, value in body["metadata"].items() if name not in WRITTEN_BY_THE_SERVER}
    return {**{name: value for name, value in body.items() if name != "status"}, "metadata": metadata}


def wait_until_exact(system: System, operator: RunningOperator) -> None:
    """The operator is started again where it ended itself (a lost lease), as its Deployment would."""
    found: list[str] = ["nothing was compared yet"]

    def is_exact() -> bool:
        if not operator.running:
            operator.start()
        try:
            found[:] = differences(system)
        except KubectlFailed as failed:  # a child that goes while it is compared
            found[:] = [str(failed)]
        return not found

    try:
        wait_for(is_exact, "exactly the children that the spec asks for", CONVERGE_SECONDS)
    except AssertionError as late:
        raise AssertionError(f"{late}: {found}") from None
