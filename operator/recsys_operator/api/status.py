"""``status`` of a RecommenderSystem: conditions, not phases."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from recsys_gateway.config import Role, Track
from recsys_gateway.document import Frozen

from recsys_operator.api.rules import KeyedBy


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
    reason: str = Field(
        min_length=1, max_length=1024, pattern=r"^[A-Za-z][A-Za-z0-9]*$", description="One word for programs."
    )
    message: str = Field(default="", max_length=32768, description="A sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(default=None, ge=0, description="Generation of the spec it speaks of.")


class ModelStatus(Frozen):
    role: Role = Field(description="tuned or base.")
    pool: str = Field(description="Name of the pool.")
    track: Track = Field(default=Track.STABLE, description="stable, or canary for the pods of the version on trial.")
    weight: float = Field(description="Relative speed of one pod.")
    desired: int = Field(ge=0, description="Pods asked for.")
    ready: int = Field(ge=0, description="Pods that serve.")
    revision: str | None = Field(default=None, description="Of the model that they serve.")


class CanaryStage(StrEnum):
    """How far the trial of a canary is."""

    TRIAL = "Trial"
    PROMOTED = "Promoted"
    ABORTED = "Aborted"


class CanaryStatus(Frozen):
    """The verdict on a canary. It is kept here and never in spec, where whoever applies the spec would revert it."""

    role: Role = Field(description="Whose canary: tuned or base.")
    digest: str = Field(max_length=64, description="Of the canary block that was tried; another block begins anew.")
    stage: CanaryStage = Field(description="Trial, Promoted or Aborted.")
    started_at: datetime | None = Field(default=None, description="When its pods first served; the trial's begin.")
    calls: int = Field(default=0, ge=0, description="Its calls that were seen, all gateways together.")
    failures: int = Field(default=0, ge=0, description="Those that failed.")
    p95_seconds: float | None = Field(default=None, ge=0, description="95th percentile of latency as it was seen.")
    message: str = Field(default="", max_length=32768, description="What the verdict rests on.")


class RecommenderSystemStatus(Frozen):
    observed_generation: int | None = Field(default=None, ge=0, description="Generation last acted on.")
    endpoint: str | None = Field(default=None, description="Address of the gateway.")
    tuned: str | None = Field(default=None, description="Ready of desired pods of the tuned model, such as 2/3.")
    base: str | None = Field(default=None, description="Ready of desired pods of the base model, such as 1/1.")
    models: Annotated[tuple[ModelStatus, ...], KeyedBy(("role", "pool", "track"))] = Field(
        default=(), description="The pools, one line each."
    )
    canaries: Annotated[tuple[CanaryStatus, ...], KeyedBy(("role",))] = Field(
        default=(), description="The canaries, at most one a role."
    )
    conditions: Annotated[tuple[Condition, ...], KeyedBy(("type",))] = Field(
        default=(), description="At most one a type."
    )
