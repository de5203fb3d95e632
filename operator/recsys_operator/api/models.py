"""``spec.models``: where a language model comes from, the engine that runs it, the pools of pods that serve it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from recsys_gateway.config import EngineType, Frozen, Name

from recsys_operator.api.workload import Duration, EnvironmentVariable, Placement, SecretReference

EXTERNAL_SCHEMES = ("http://", "https://")
EXTERNAL_ENGINES = (EngineType.OPENAI, EngineType.OLLAMA)

ModelUri = Annotated[
    str,
    StringConstraints(pattern=r"^(hf|file|sample|s3|pvc|https?)://.+$", max_length=1000),
]


class ModelSource(Frozen):
    """Where a model's files come from, or the address of an engine that somebody else runs."""

    uri: ModelUri = Field(
        description="hf://ORG/NAME (on one machine also hf://ORG/NAME:FILE.gguf), file://PATH, s3://BUCKET/KEY, "
        "pvc://CLAIM/PATH, sample://NAME for the models that come with recsys, http(s)://HOST for an external engine."
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=200, description="What clients ask for; default: from the uri."
    )
    revision: str | None = Field(
        default=None, min_length=1, max_length=200, description="Branch, tag or commit of a hub's repository."
    )
    token_secret_ref: SecretReference | None = Field(
        default=None, description="Token for the hub or the external engine. On one machine: HF_TOKEN."
    )
    adapters: tuple[ModelUri, ...] = Field(default=(), description="LoRA adapters that the engine loads beside it.")

    @property
    def is_external(self) -> bool:
        return self.uri.startswith(EXTERNAL_SCHEMES)

    @property
    def is_sample(self) -> bool:
        return self.uri.startswith("sample://")


class Engine(Frozen):
    """The inference server of a model's pods."""

    type: EngineType = Field(
        default=EngineType.TGI,
        description="TGI, VLLM, SGLang, LlamaCpp, Ollama, or OpenAI for an external engine with OpenAI's API.",
    )
    image: str | None = Field(default=None, min_length=1, description="Instead of the engine's own image.")
    args: tuple[str, ...] = Field(default=(), description="Added to the engine's command line.")
    env: tuple[EnvironmentVariable, ...] = Field(default=(), description="Added to the engine's environment.")


class Scaling(Frozen):
    """Autoscaling of a pool by the number of calls that wait for it."""

    min_replicas: int = Field(default=1, ge=0, description="Never fewer pods than this.")
    max_replicas: int = Field(ge=1, description="Never more pods than this.")
    queue_depth: float = Field(default=2, gt=0, description="Waiting calls per pod that ask for one pod more.")
    idle_replicas: int | None = Field(default=None, ge=0, description="Pods while nothing is asked; 0 frees the GPUs.")

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas ({self.min_replicas}) is more than maxReplicas ({self.max_replicas})")
        if self.idle_replicas is not None and self.idle_replicas > self.min_replicas:
            raise ValueError(f"idleReplicas ({self.idle_replicas}) is more than minReplicas ({self.min_replicas})")
        return self


class Pool(Placement):
    """Pods of one kind: one Deployment and one Service."""

    name: Name = Field(description="Unique among the pools of its model.")
    weight: float = Field(default=1, gt=0, description="Relative speed of one pod of this pool.")
    slots: int | None = Field(
        default=None, ge=1, le=4096, description="Sequences that a pod runs at once; the engine's batch limit too."
    )
    replicas: int | None = Field(default=None, ge=0, description="Number of pods; 1 where scaling is absent too.")
    scaling: Scaling | None = Field(default=None, description="Instead of replicas: let an autoscaler choose.")

    @model_validator(mode="after")
    def _replicas_or_scaling(self) -> Self:
        if self.replicas is not None and self.scaling is not None:
            raise ValueError("replicas and scaling exclude each other: give one of them")
        return self


class AbortCriteria(Frozen):
    error_rate: float | None = Field(default=None, gt=0, le=1, description="Share of calls that may fail.")
    p95_seconds: float | None = Field(default=None, gt=0, description="Bound on the 95th percentile of latency.")


class Canary(Frozen):
    """A second version of a model that gets a share of the calls and is promoted or dropped by what it shows."""

    model: ModelSource = Field(description="The version to try.")
    pool: Name | None = Field(default=None, description="Pool whose settings its pods take; default: the first.")
    replicas: int = Field(default=1, ge=1, description="Number of its pods.")
    traffic: int = Field(default=10, ge=0, le=100, description="Per cent of the calls.")
    promote_after: Duration = Field(default="30m", description="How long it must behave, such as 30m.")
    abort_on: AbortCriteria | None = Field(default=None, description="What drops it at once.")


class Rollout(Frozen):
    """How a pool's pods are replaced. The default never asks for a GPU that is not there."""

    max_surge: int = Field(default=0, ge=0, description="Pods beyond the wanted number meanwhile.")
    max_unavailable: int = Field(default=1, ge=0, description="Pods that may be missing meanwhile.")

    @model_validator(mode="after")
    def _can_move(self) -> Self:
        if self.max_surge == 0 and self.max_unavailable == 0:
            raise ValueError("maxSurge and maxUnavailable are both 0: no pod could ever be replaced")
        return self


class Model(Frozen):
    """One language model of the system."""

    model: ModelSource = Field(description="The model itself.")
    engine: Engine = Field(default=Engine(), description="What runs it.")
    pools: tuple[Pool, ...] = Field(
        default=(Pool(name="default"),), min_length=1, max_length=16, description="The pods that serve it."
    )
    canary: Canary | None = Field(default=None, description="A second version on trial.")
    rollout: Rollout = Field(default=Rollout(), description="How pods are replaced.")
    startup_timeout_seconds: int = Field(default=1800, ge=1, description="A pod that is not up by then is restarted.")
    drain_seconds: int = Field(default=60, ge=0, description="What a stopping pod gets to finish its streams.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [pool.name for pool in self.pools]
        if len(names) != len(set(names)):
            raise ValueError("pools: two pools share a name")
        if self.model.is_external and self.engine.type not in EXTERNAL_ENGINES:
            raise ValueError("model.uri is the address of an external engine: engine.type must be OpenAI or Ollama")
        if not self.model.is_external and self.engine.type is EngineType.OPENAI:
            raise ValueError("engine.type OpenAI is external: model.uri must be its address, https://… or http://…")
        return self


class Models(Frozen):
    """The language models. Without ``tuned`` lists keep the order of retrieval, without ``base`` a template speaks."""

    tuned: Model | None = Field(default=None, description="Fine-tuned on the catalogue's domain: makes the list.")
    base: Model | None = Field(default=None, description="A general model: writes the sentence.")

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.tuned is None and self.base is None:
            raise ValueError("give tuned, base, or both")
        return self
