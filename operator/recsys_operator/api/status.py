"""``status`` of a RecommenderSystem: conditions, not phases."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field
from recsys_gateway.config import Frozen, Role


class ConditionType(StrEnum):
    """What a condition tells; ``Ready`` carries the first failing one's reason."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    MODELS_CACHED = "ModelsCached"
    MODELS_READY = "ModelsReady"
    EMBEDDER_READY = "EmbedderReady"
    VECTOR_STORE_READY = "VectorStoreReady"
    CATALOG_LOADED = "CatalogLoaded"
    GATEWAY_READY = "GatewayReady"
    FINE_TUNED = "FineTuned"
    DEGRADED = "Degraded"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Frozen):
    type: ConditionType = Field(description="What it tells.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9]*$", description="One word for programs.")
    message: str = Field(default="", description="A sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(default=None, ge=0, description="Generation of the spec it speaks of.")


class ModelStatus(Frozen):
    role: Role = Field(description="tuned or base.")
    pool: str = Field(description="Name of the pool.")
    weight: float = Field(description="Relative speed of one pod.")
    desired: int = Field(ge=0, description="Pods asked for.")
    ready: int = Field(ge=0, description="Pods that serve.")
    revision: str | None = Field(default=None, description="Of the model that they serve.")


class RecommenderSystemStatus(Frozen):
    observed_generation: int | None = Field(default=None, ge=0, description="Generation last acted on.")
    endpoint: str | None = Field(default=None, description="Address of the gateway.")
    models: tuple[ModelStatus, ...] = Field(default=(), description="The pools, one line each.")
    conditions: tuple[Condition, ...] = Field(default=(), description="At most one a type.")
