"""A control plane for all tests here, and a namespace for each of them.

``RECSYS_TEST_KUBECONFIG`` names a cluster to use instead, with ``kubectl`` on the PATH: one that ``make cluster``
started, since its nodes play the parts that the tests rely on. Tests that stop a part of the control plane are left
out there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane.binaries import binaries
from controlplane.cluster import Cluster, Kubectl
from controlplane.control_plane import ControlPlane
from installed_operator import System, home_name, installed_operator, quickstart
from namespaces import GIVEN, new_namespace
from running_operator import RunningOperator

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="faults and load at full length (tests/cluster)")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the first test: a build takes longer than a test may, and its progress wants to be seen."""
    if GIVEN in os.environ or session.config.option.collectonly:
        return
    if not any(HERE in item.path.parents for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        binaries(print)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    given = os.environ.get(GIVEN)
    if given is None:
        with ControlPlane(binaries(print), folder) as plane:
            yield plane
        return
    program = shutil.which("kubectl")
    if program is None:
        pytest.fail(f"{GIVEN} is set, but there is no kubectl on the PATH")
    yield Cluster(Kubectl(Path(program), Path(given), folder / "kubectl-cache"), folder)


@pytest.fixture(scope="session")
def is_soak(request: pytest.FixtureRequest) -> bool:
    """Whether faults and load run at full length."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="package")
def own_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """For tests that kill its parts, and start them again."""
    with _another(tmp_path_factory) as plane:
        yield plane


@pytest.fixture(scope="module")
def bare_control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One that never heard of a RecommenderSystem."""
    with _another(tmp_path_factory) as plane:
        yield plane


def _another(folders: pytest.TempPathFactory) -> ControlPlane:
    if GIVEN in os.environ:
        pytest.skip(f"{GIVEN} is set: the parts of that cluster are not this test's to kill")
    return ControlPlane(binaries(print), folders.mktemp("control-plane"))


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    """kubectl as administrator."""
    return cluster.kubectl


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of this test."""
    with new_namespace(kubectl) as name:
        yield name


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOperator]:
    """An operator of the module's own, over the whole cluster."""
    with installed_operator(cluster, tmp_path_factory.mktemp("operator"), home_name()) as running:
        yield running


@pytest.fixture(scope="module")
def lasting_system(operator: RunningOperator, cluster: Cluster) -> Iterator[System]:
    """The quickstart, ready, and so again after each test of the module that takes it."""
    with new_namespace(cluster.kubectl) as namespace:
        system = System(cluster.kubectl, namespace)
        system.apply(quickstart())
        system.wait_until_ready()
        yield system
        system.delete_all()


@pytest.fixture
def system(operator: RunningOperator, kubectl: Kubectl, namespace: str) -> Iterator[System]:
    """Of this test, and not applied yet. It ends with the test, and others of its namespace."""
    found = System(kubectl, namespace)
    yield found
    found.delete_all()
