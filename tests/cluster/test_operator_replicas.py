"""Several replicas of the operator, of which one acts; and an operator for some namespaces alone."""

from __future__ import annotations

import time

import pytest
from controlplane.cluster import Cluster, Kubectl
from installed_operator import System, home_name, installed_operator, leads, quickstart
from recsys_operator.install import NAME
from recsys_operator.lease import DURATION_SECONDS, RENEW_DEADLINE_SECONDS, RETRY_SECONDS
from running_operator import RunningOperator
from waiting import wait_for

TAKE_OVER_SECONDS = DURATION_SECONDS + 2 * RETRY_SECONDS + 6


def another(cluster: Cluster, home: str, log: str, *namespaces: str) -> RunningOperator:
    kubeconfig = cluster.account_kubeconfig(home, NAME)
    return RunningOperator(kubeconfig, cluster.folder / f"{home}-{log}.log", namespaces, home)


def test_a_standby_takes_over_from_a_replica_that_is_killed_and_at_once_from_one_that_ends(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home, system = home_name(), System(kubectl, namespace)
    with installed_operator(cluster, tmp_path_factory.mktemp("operator"), home) as first:
        second = another(cluster, home, "second")
        second.start()
        try:
            system.apply(quickstart())
            system.wait_until_ready()
            assert leads(first)
            assert not leads(second)
            first.kill()
            wait_for(lambda: leads(second), "the second's lease", TAKE_OVER_SECONDS)
            system("delete", "deployment/quickstart-gateway")
            wait_for(
                lambda: "deployment" in system("get", "deployment/quickstart-gateway", "-o=name", "--ignore-not-found"),
                "a repair by the second",
                20,
            )

            first.start()
            ended = time.monotonic()
            second.stop()
            wait_for(lambda: leads(first), "the first's lease", TAKE_OVER_SECONDS)
            assert time.monotonic() - ended < DURATION_SECONDS
        finally:
            second.stop()


def test_a_replica_whose_lease_is_taken_stops_acting(
    cluster: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = home_name()
    with installed_operator(cluster, tmp_path_factory.mktemp("operator"), home) as running:
        kubectl(
            "patch",
            "lease",
            NAME,
            f"--namespace={home}",
            "--type=merge",
            '--patch={"spec": {"holderIdentity": "somebody else"}}',
        )
        wait_for(lambda: not running.running, "its end", RENEW_DEADLINE_SECONDS + 2 * RETRY_SECONDS)


def test_a_namespaced_operator_leaves_other_namespaces_alone(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = home_name()
    kubectl("create", "namespace", other)
    served, ignored = System(kubectl, namespace), System(kubectl, other)
    try:
        with installed_operator(cluster, tmp_path_factory.mktemp("operator"), home_name(), namespace) as running:
            ignored.apply(quickstart())
            served.apply(quickstart())
            served.wait_until_ready()

            assert not ignored.children()
            assert "forbidden" not in running.log.read_text()
    finally:
        kubectl("delete", "namespace", other, "--wait=false")
