"""All children of three systems, as files to read: tests/golden."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_systems import example
from golden_files import assert_golden
from recsys_operator.api.recommender_system import RecommenderSystem, load_resource
from recsys_operator.components.desired import desired
from recsys_operator.components.manifest import OPTIONAL_KINDS
from recsys_operator.components.observed import Observed

QUICKSTART = Path(__file__).parents[3] / "manifests" / "examples" / "quickstart.yaml"


def quickstart() -> RecommenderSystem:
    system = load_resource(QUICKSTART)
    return system.model_copy(
        update={"metadata": system.metadata.model_copy(update={"namespace": "shop", "uid": "0a1b2c3d"})}
    )


@pytest.mark.parametrize(
    ("name", "system", "observed"),
    [
        ("quickstart", quickstart(), Observed()),
        ("minimal", example("minimal"), Observed()),
        ("full", example("full"), Observed(apis=frozenset(OPTIONAL_KINDS))),
    ],
)
def test_the_children_are_as_written_down(name: str, system: RecommenderSystem, observed: Observed) -> None:
    assert_golden(name, desired(system, observed))
