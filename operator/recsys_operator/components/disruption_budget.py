"""PodDisruptionBudgets: a drained node takes one pod of a kind at a time."""

from __future__ import annotations

from collections.abc import Mapping

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.labels import metadata
from recsys_operator.components.manifest import Manifest


def disruption_budget(
    system: RecommenderSystem, name: str, labels: Mapping[str, str], selector: Mapping[str, str]
) -> Manifest:
    """``maxUnavailable`` of 1 lets a lone pod go too: a node can always be drained.

    A pod that is not healthy may always go: it holds a budget up and serves nobody.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(system, name, dict(labels)),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": dict(selector)},
        },
    }
