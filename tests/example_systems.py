"""Resources that tests of the operator share: two files, and ways to change a field of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.overlay import overlay

RESOURCES = Path(__file__).parent / "resources"


def example(name: str, namespace: str = "shop", uid: str = "0a1b2c3d", **spec: Any) -> RecommenderSystem:
    """``tests/resources/NAME.yaml`` as a cluster holds it, with ``spec`` merged into its own."""
    document = yaml.safe_load((RESOURCES / f"{name}.yaml").read_text(encoding="utf-8"))
    placed = {"metadata": {"namespace": namespace, "uid": uid, "generation": 1}, "spec": spec}
    return RecommenderSystem.model_validate(overlay(document, placed))
