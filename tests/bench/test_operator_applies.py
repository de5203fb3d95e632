"""What the operator adds to applying: the children of systems, beside a bare loop that applies the very same ones.

The API server's own time is most of both, and both share the machine with its controllers: so this asks for a ratio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane.audit import Write, writes
from controlplane.binaries import binaries
from controlplane.control_plane import ControlPlane
from installed_operator import Manifest, define, installed_operator, quickstart
from kubernetes.aio.config import kube_config
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.desired import desired
from recsys_operator.components.observed import Observed
from recsys_operator.install import NAME
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile.cluster_api import connect
from recsys_operator.reconcile.plan import with_digest
from waiting import wait_for

HOME = "operator-home"
USER = f"system:serviceaccount:{HOME}:{NAME}"
BOUNDS = {1: 4.0, 12: 3.0}
"""Of one system most is waiting on purpose: for a burst of events to end, and for one wave before the next."""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(binaries(print), tmp_path_factory.mktemp("control-plane")) as plane:
        define(plane.kubectl)
        yield plane


@pytest.mark.parametrize("count", BOUNDS)
def test_applying_children_takes_little_more_than_a_bare_loop(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    # Read from KUBECONFIG once, when the client is imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(plane.kubeconfig))
    bare = seconds_of_a_bare_loop(plane, count)
    ours, processor = seconds_of_the_operator(plane, tmp_path, count)
    print(f"\n{count} systems: {ours:.2f} s from the first resource to the last child, {processor:.2f} s of CPU;")
    print(f"a bare loop {bare:.2f} s, ratio {ours / bare:.1f}")
    assert ours / bare < BOUNDS[count]


def seconds_of_a_bare_loop(plane: ControlPlane, count: int) -> float:
    """Nobody else looks at these resources; they and their children are gone at the end."""
    plane.kubectl("create", "namespace", "bare")
    plane.kubectl.apply(*(quickstart(f"shop-{n}") for n in range(count)), namespace="bare")
    children = [child for body in plane.kubectl.json("get", "recsys", "-n", "bare")["items"] for child in made(body)]
    seconds = asyncio.run(apply_all(children))
    plane.kubectl("wait", "deployment", "--all", "-n", "bare", "--for=condition=Available", "--timeout=50s")
    plane.kubectl("delete", "namespace", "bare", "--wait=false")
    plane.kubectl("wait", "namespace/bare", "--for=delete", "--timeout=50s")
    return seconds


def made(body: Manifest) -> list[Manifest]:
    return [with_digest(child) for child in desired(RecommenderSystem.model_validate(body), Observed())]


async def apply_all(children: list[Manifest]) -> float:
    async with await connect(Metrics()) as api:
        began = time.monotonic()
        await asyncio.gather(*(api.apply(child) for child in children))
        return time.monotonic() - began


def seconds_of_the_operator(plane: ControlPlane, folder: Path, count: int) -> tuple[float, float]:
    """By the API server's own clock; and of the operator's CPU."""
    with installed_operator(plane, folder, HOME) as operator:
        plane.kubectl("create", "namespace", "operated")
        before, since = operator.cpu_seconds(), time.time()
        plane.kubectl.apply(*(quickstart(f"shop-{n}") for n in range(count)), namespace="operated")
        plane.kubectl("wait", "recsys", "--all", "-n", "operated", "--for=condition=Ready", "--timeout=50s")
        processor = operator.cpu_seconds() - before
        first = min(one.at for one in writes(plane.audit_log) if one.namespace == "operated" and one.at >= since)
        last = max(one.at for one in children_written(plane, since))
        plane.kubectl("delete", "namespace", "operated", "--wait=false")
        plane.kubectl("wait", "namespace/operated", "--for=delete", "--timeout=50s")
    wait_for(lambda: not plane.kubectl("get", "namespace", HOME, "--ignore-not-found"), "the end of its namespace")
    return last - first, processor


def children_written(plane: ControlPlane, since: float) -> list[Write]:
    aside = ("leases", "events", "recommendersystems")
    found = (one for one in writes(plane.audit_log, USER) if one.at >= since and one.namespace == "operated")
    return [one for one in found if one.resource not in aside]
