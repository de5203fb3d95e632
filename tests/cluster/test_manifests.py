"""Every manifest that this repository gives out fits the schemas of the API server that it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from controlplane.binaries import Binaries, binaries
from controlplane.cluster import Cluster, as_list
from controlplane.schemas import kubeconform, write_schemas
from example_systems import example
from recsys_operator.components.desired import desired
from recsys_operator.components.observed import Observed
from recsys_operator.install import Installation, document

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture(scope="module")
def programs() -> Binaries:
    return binaries(print)


@pytest.fixture(scope="module")
def schemas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={MANIFESTS / 'crd'}")
    cluster.kubectl("wait", f"--filename={MANIFESTS / 'crd'}", "--for=condition=Established")
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(cluster.kubectl, folder)
    return folder


def test_the_checked_in_manifests(programs: Binaries, schemas: Path) -> None:
    assert kubeconform(programs, schemas, MANIFESTS) == ""


@pytest.mark.parametrize("namespaces", [(), ("shop",)])
def test_what_installs_the_operator(
    programs: Binaries, schemas: Path, tmp_path: Path, namespaces: tuple[str, ...]
) -> None:
    file = tmp_path / "operator.yaml"
    file.write_text(document(Installation(namespaces)))
    assert kubeconform(programs, schemas, file) == ""


@pytest.mark.parametrize("name", ["minimal", "full"])
def test_children_of_a_system(programs: Binaries, schemas: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "children.json"
    file.write_text(as_list(desired(example(name), Observed())))
    assert kubeconform(programs, schemas, file) == ""


def test_a_field_that_no_schema_knows_is_found(programs: Binaries, schemas: Path, tmp_path: Path) -> None:
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replica": 1}}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    assert "replica" in kubeconform(programs, schemas, tmp_path)
