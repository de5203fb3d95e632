"""Whatever breaks, the operator ends at exactly what the spec asks for: nothing missing, doubled, or left over."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from comparison import wait_until_exact
from controlplane.control_plane import ControlPlane
from installed_operator import System, home_name, installed_operator, quickstart
from namespaces import new_namespace
from running_operator import RunningOperator
from waiting import wait_for

CONVERGE_SECONDS = 90.0
RETAINED = {"PersistentVolumeClaim/quickstart-milvus"}


@pytest.fixture(scope="module")
def operator(own_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOperator]:
    with installed_operator(own_control_plane, tmp_path_factory.mktemp("operator"), home_name()) as running:
        yield running


@pytest.fixture
def system(own_control_plane: ControlPlane, operator: RunningOperator) -> Iterator[System]:
    with new_namespace(own_control_plane.kubectl) as name:
        found = System(own_control_plane.kubectl, name)
        yield found
        found.delete_all()


def variant(chance: random.Random) -> dict[str, object]:
    """A spec that differs from the last one in configuration, numbers, and whether there is a tuned model."""
    models = quickstart()["spec"]["models"]
    if chance.random() < 0.5:
        models = {"base": models["base"]}
    return {
        "models": models,
        "gateway": {"replicas": chance.randint(1, 3)},
        "recommendation": {"size": chance.randint(1, 20)},
        "networkPolicy": {"enabled": chance.random() < 0.5},
    }


@pytest.mark.timeout(1800)
def test_killed_at_any_moment_it_finishes_what_it_began(
    system: System, operator: RunningOperator, is_soak: bool
) -> None:
    chance = random.Random(5)
    for round_ in range(20 if is_soak else 3):
        what = ("create", "update", "delete")[round_ % 3]
        if what == "delete":
            system("delete", "recsys", system.name, "--wait=false")
        else:
            system.apply(quickstart(**variant(chance)))
        time.sleep(chance.uniform(0, 2))  # the moment is meant to be any
        operator.kill()
        operator.start()
        if what == "delete":
            wait_for(lambda: set(system.children()) <= RETAINED, "nothing but what is retained", CONVERGE_SECONDS)
        else:
            wait_until_exact(system, operator)


def test_it_goes_on_when_the_api_server_was_away(
    own_control_plane: ControlPlane, system: System, operator: RunningOperator, is_soak: bool
) -> None:
    plane = own_control_plane
    system.apply(quickstart())
    system.wait_until_ready()
    plane.apiserver.kill()
    time.sleep(60 if is_soak else 12)  # longer than the lease may go without renewal
    plane.apiserver.start()
    plane.wait_until_ready()
    plane.restart_controllers()
    system("delete", "deployment/quickstart-gateway")
    system.patch(recommendation={"size": 7})
    wait_until_exact(system, operator)
    system.wait_until_ready()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_it_goes_on_when_etcd_was_away_in_the_middle_of_its_work(
    own_control_plane: ControlPlane, system: System, operator: RunningOperator, how: str
) -> None:
    plane = own_control_plane
    system.apply(quickstart())
    if how == "killed":
        plane.etcd.kill()
    else:
        plane.etcd.stop()
    plane.etcd.start()
    plane.wait_until_ready()
    wait_until_exact(system, operator)
    system.wait_until_ready()
