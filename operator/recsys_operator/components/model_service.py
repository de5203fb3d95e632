"""The Service of a pool. Gateways find its pods by it, and read weight and slots off its labels."""

from __future__ import annotations

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.canary import ModelPool
from recsys_operator.components.labels import SLOTS, WEIGHT, metadata
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_deployment import PORT_NAME


def model_service(system: RecommenderSystem, pool: ModelPool) -> Manifest:
    slots = {} if pool.settings.slots is None else {SLOTS: str(pool.settings.slots)}
    weight = {WEIGHT: f"{pool.settings.weight:g}".replace("+", "")}
    port = {"name": PORT_NAME, "port": 80, "targetPort": PORT_NAME, "protocol": "TCP", "appProtocol": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(system, pool.name, {**pool.labels(system), **weight, **slots}),
        "spec": {
            "type": "ClusterIP",
            "selector": pool.selector(system),
            "ports": [port],
        },
    }
