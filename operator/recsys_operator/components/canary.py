"""Which model a role's pools run, by how far the trial of its canary is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recsys_gateway.config import Role, Track

from recsys_operator.api.models import Model, ModelSource, Pool
from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import CanaryStage
from recsys_operator.components.labels import labels, pool_labels, pool_name, selector
from recsys_operator.components.model_identity import by_role
from recsys_operator.components.observed import Observed

COMPONENT = "model"


@dataclass(frozen=True, slots=True)
class ModelPool:
    """Pods of one kind as they are to be: a Deployment and a Service, both called ``name``.

    ``settings`` are those of the resource's pool, with the canary's number of replicas where this is its own.
    """

    role: Role
    track: Track
    model: Model
    source: ModelSource
    settings: Pool
    name: str

    def labels(self, system: RecommenderSystem) -> dict[str, str]:
        """Of all its children and of its pods."""
        return {**labels(system, COMPONENT), **pool_labels(self.role, self.settings.name, self.track)}

    def selector(self, system: RecommenderSystem) -> dict[str, str]:
        """What chooses its pods, and no others."""
        return {**selector(system, COMPONENT), **pool_labels(self.role, self.settings.name, self.track)}


def model_pools(system: RecommenderSystem, observed: Observed) -> Iterator[ModelPool]:
    """The pools whose pods this system runs; a model with an external engine has none."""
    for role, model in by_role(system.spec.models).items():
        if model.model.is_external:
            continue
        source = stable_source(role, model, observed)
        for pool in model.pools:
            yield ModelPool(role, Track.STABLE, model, source, pool, pool_name(system, role, pool.name))
        canary = canary_pool(system, role, model, observed)
        if canary is not None:
            yield canary


def stable_source(role: Role, model: Model, observed: Observed) -> ModelSource:
    """What the stable pools run: the canary's model once it has proved itself."""
    if model.canary is not None and observed.canaries.get(role) is CanaryStage.PROMOTED:
        return model.canary.model
    return model.model


def on_trial(role: Role, model: Model, observed: Observed) -> bool:
    """Whether pods of the canary run and get their share of the calls. Without a stage its trial begins."""
    return model.canary is not None and observed.canaries.get(role, CanaryStage.TRIAL) is CanaryStage.TRIAL


def canary_pool(system: RecommenderSystem, role: Role, model: Model, observed: Observed) -> ModelPool | None:
    """The pool of the canary's pods while it is on trial."""
    canary = model.canary
    if canary is None or not on_trial(role, model, observed):
        return None
    pool = next((pool for pool in model.pools if pool.name == canary.pool), model.pools[0])
    settings = pool.model_copy(update={"replicas": canary.replicas, "scaling": None})
    name = pool_name(system, role, pool.name, Track.CANARY)
    return ModelPool(role, Track.CANARY, model, canary.model, settings, name)
