"""Kinds that come to the cluster while the operator runs: its own definition, and those of other projects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from controlplane.control_plane import ControlPlane
from controlplane.optional_apis import OptionalApi, installed
from installed_operator import System, accounts, define, home_name, installed_operator, quickstart
from running_operator import RunningOperator
from waiting import wait_for

NOTICED_SECONDS = 30.0


@pytest.fixture(scope="module")
def operator(bare_control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOperator]:
    """It leads before there is a definition of its resource."""
    folder = tmp_path_factory.mktemp("operator")
    with installed_operator(bare_control_plane, folder, home_name(), parts=accounts) as running:
        yield running


def test_a_definition_that_comes_later_is_noticed(bare_control_plane: ControlPlane, operator: RunningOperator) -> None:
    bare_control_plane.kubectl("create", "namespace", "late")
    system = System(bare_control_plane.kubectl, "late")
    define(system.kubectl)
    system.apply(quickstart())

    wait_for(system.children, "children", NOTICED_SECONDS)
    system.wait_until_ready()


def test_an_optional_kind_is_used_as_soon_as_it_is_there(
    bare_control_plane: ControlPlane, operator: RunningOperator
) -> None:
    bare_control_plane.kubectl("create", "namespace", "monitored")
    system = System(bare_control_plane.kubectl, "monitored")
    define(system.kubectl)
    system.apply(quickstart(monitoring={"podMonitor": True}))
    system.wait_for_reason("Degraded", "MonitoringApiAbsent")
    with installed(system.kubectl, OptionalApi.PROMETHEUS_OPERATOR):
        monitors = ("podmonitors", "--selector=recsys.io/system=quickstart")
        wait_for(lambda: system.get(*monitors)["items"], "a PodMonitor", NOTICED_SECONDS)
        wait_for(lambda: system.condition("Degraded").get("status") == "False", "no more lack of it")
        system("delete", "podmonitor", "quickstart-gateway")
        wait_for(
            lambda: any(one["metadata"]["name"] == "quickstart-gateway" for one in system.get(*monitors)["items"]),
            "its repair",
            NOTICED_SECONDS,
        )

    system.wait_for_reason("Degraded", "MonitoringApiAbsent")
    system.wait_until_ready()
