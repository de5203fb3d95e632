"""``spec.models``: where a language model comes from, the engine that runs it, the pools of pods that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints
from recsys_gateway.config import EngineType, Role
from recsys_gateway.document import Frozen

from recsys_operator.api.rules import KeyedBy, Rule, Ruled
from recsys_operator.api.workload import HTTP_URL, Duration, Environment, Image, Placement, Quantity, SecretReference

EXTERNAL_SCHEMES = ("http://", "https://")
EXTERNAL_ENGINES = (EngineType.OPENAI, EngineType.OLLAMA)

ModelUri = Annotated[
    str,
    StringConstraints(pattern=rf"^(hf|file|sample|s3|pvc)://.+$|{HTTP_URL}", max_length=1000),
]
PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
MOST_POOLS = 16


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
        default=None,
        description="Token for the hub or the external engine; for s3:// a secret with AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY. On one machine: HF_TOKEN.",
    )
    adapters: tuple[ModelUri, ...] = Field(
        default=(), max_length=16, description="LoRA adapters that the engine loads beside it."
    )

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
    image: Image | None = Field(default=None, description="Instead of the engine's own image.")
    args: tuple[str, ...] = Field(default=(), max_length=128, description="Added to the engine's command line.")
    env: Environment = Field(default=(), description="Added to the engine's environment.")
    context_tokens: int | None = Field(
        default=None, ge=128, description="Most tokens of one call, prompt and answer; absent: what the model can."
    )
    batch_tokens: int | None = Field(
        default=None, ge=128, description="Tokens that fit a TGI pod's batch; absent: TGI measures it at its start."
    )


class Scaling(Ruled):
    """Autoscaling of a pool by the number of calls that wait for it."""

    min_replicas: int = Field(default=1, ge=0, le=1000, description="Never fewer pods than this.")
    max_replicas: int = Field(ge=1, le=1000, description="Never more pods than this.")
    queue_depth: float = Field(default=2, gt=0, description="Waiting calls per pod that ask for one pod more.")
    idle_replicas: int | None = Field(default=None, ge=0, description="Pods while nothing is asked; 0 frees the GPUs.")

    RULES: ClassVar = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas is more than maxReplicas: lower the one or raise the other",
            lambda scaling: scaling.min_replicas <= scaling.max_replicas,
        ),
        Rule(
            "!has(self.idleReplicas) || self.idleReplicas <= self.minReplicas",
            "idleReplicas is more than minReplicas: lower it, 0 frees the GPUs while nothing is asked",
            lambda scaling: scaling.idle_replicas is None or scaling.idle_replicas <= scaling.min_replicas,
        ),
    )


class Pool(Placement):
    """Pods of one kind: one Deployment and one Service."""

    name: PoolName = Field(description="Unique among the pools of its model.")
    weight: float = Field(default=1, gt=0, description="Relative speed of one pod of this pool.")
    slots: int | None = Field(
        default=None, ge=1, le=4096, description="Sequences that a pod runs at once; the engine's batch limit too."
    )
    replicas: int | None = Field(
        default=None, ge=0, le=1000, description="Number of pods; 1 where scaling is absent too."
    )
    scaling: Scaling | None = Field(default=None, description="Instead of replicas: let an autoscaler choose.")
    shared_memory: Quantity | None = Field(default=None, description="Size of /dev/shm, which multi-GPU engines need.")

    RULES: ClassVar = (
        Rule(
            "!(has(self.replicas) && has(self.scaling))",
            "replicas and scaling exclude each other: give one of them",
            lambda pool: pool.replicas is None or pool.scaling is None,
        ),
        Rule(
            "!self.name.endsWith('-canary')",
            "a pool's name must not end in -canary: the canary's pods are named so",
            lambda pool: not pool.name.endswith("-canary"),
        ),
    )

    @property
    def most_replicas(self) -> int:
        """What the pool may grow to."""
        if self.scaling is not None:
            return self.scaling.max_replicas
        return 1 if self.replicas is None else self.replicas


class AbortCriteria(Frozen):
    """What is compared with the gateways' own counters of the canary's calls."""

    error_rate: float | None = Field(default=None, gt=0, le=1, description="Share of calls that may fail.")
    p95_seconds: float | None = Field(default=None, gt=0, description="Bound on the 95th percentile of latency.")
    min_calls: int = Field(default=20, ge=1, description="Calls that must have been seen before anything is judged.")


class Canary(Frozen):
    """A second version of a model that gets a share of the calls and is promoted or dropped by what it shows."""

    model: ModelSource = Field(description="The version to try.")
    pool: PoolName | None = Field(default=None, description="Pool whose settings its pods take; default: the first.")
    replicas: int = Field(default=1, ge=1, le=1000, description="Number of its pods.")
    traffic: int = Field(default=10, ge=0, le=100, description="Per cent of the calls.")
    promote_after: Duration = Field(default="30m", description="How long it must behave, such as 30m.")
    abort_on: AbortCriteria | None = Field(default=None, description="What drops it at once.")


class Rollout(Ruled):
    """How a pool's pods are replaced. The default never asks for a GPU that is not there."""

    max_surge: int = Field(default=0, ge=0, description="Pods beyond the wanted number meanwhile.")
    max_unavailable: int = Field(default=1, ge=0, description="Pods that may be missing meanwhile.")

    RULES: ClassVar = (
        Rule(
            "self.maxSurge > 0 || self.maxUnavailable > 0",
            "maxSurge and maxUnavailable are both 0: no pod could ever be replaced; raise one of them",
            lambda rollout: rollout.max_surge > 0 or rollout.max_unavailable > 0,
        ),
    )


class Timeouts(Frozen):
    """Bounds of one call to the model's pods. What is slower counts as failed, and the answer goes without it."""

    first_byte_seconds: float = Field(default=30, gt=0, description="Until the engine begins to answer.")
    idle_seconds: float = Field(default=15, gt=0, description="Silence inside a stream.")


_IS_EXTERNAL = "(self.model.uri.startsWith('http://') || self.model.uri.startsWith('https://'))"
_CANARY_IS_EXTERNAL = _IS_EXTERNAL.replace("self.model", "self.canary.model")


class Model(Ruled):
    """One language model of the system."""

    model: ModelSource = Field(description="The model itself.")
    engine: Engine = Field(default=Engine(), description="What runs it.")
    pools: Annotated[tuple[Pool, ...], KeyedBy(("name",))] = Field(
        default=(Pool(name="default"),), min_length=1, max_length=MOST_POOLS, description="The pods that serve it."
    )
    canary: Canary | None = Field(default=None, description="A second version on trial.")
    rollout: Rollout = Field(default=Rollout(), description="How pods are replaced.")
    timeouts: Timeouts = Field(default=Timeouts(), description="How long the gateway waits for its pods.")
    startup_timeout_seconds: int = Field(default=1800, ge=1, description="A pod that is not up by then is restarted.")
    drain_seconds: int = Field(default=60, ge=0, description="What a stopping pod gets to finish its streams.")

    RULES: ClassVar = (
        Rule(
            f"!{_IS_EXTERNAL} || self.engine.type in ['OpenAI', 'Ollama']",
            "model.uri is the address of an external engine: engine.type must be OpenAI or Ollama",
            lambda model: not model.model.is_external or model.engine.type in EXTERNAL_ENGINES,
        ),
        Rule(
            f"self.engine.type != 'OpenAI' || {_IS_EXTERNAL}",
            "engine.type OpenAI is external: model.uri must be its address, https://… or http://…",
            lambda model: model.engine.type is not EngineType.OPENAI or model.model.is_external,
        ),
        Rule(
            f"!has(self.canary) || !({_IS_EXTERNAL} || {_CANARY_IS_EXTERNAL})",
            "a canary runs in pods of its own: model.uri and canary.model.uri must not be external addresses",
            lambda model: model.canary is None or not (model.model.is_external or model.canary.model.is_external),
        ),
        Rule(
            "!has(self.canary) || !has(self.canary.pool) || self.pools.exists(pool, pool.name == self.canary.pool)",
            "canary.pool names no pool of this model: give the name of one of pools, or leave it out",
            lambda model: (
                model.canary is None
                or model.canary.pool is None
                or model.canary.pool in {pool.name for pool in model.pools}
            ),
        ),
    )

    @property
    def most_replicas(self) -> int:
        """Pods that it may grow to, its canary's with them."""
        canary = 0 if self.canary is None else self.canary.replicas
        return canary + sum(pool.most_replicas for pool in self.pools)


class Models(Ruled):
    """The language models. Without ``tuned`` lists keep the order of retrieval, without ``base`` a template speaks."""

    tuned: Model | None = Field(default=None, description="Fine-tuned on the catalogue's domain: makes the list.")
    base: Model | None = Field(default=None, description="A general model: writes the sentence.")

    RULES: ClassVar = (
        Rule(
            "has(self.tuned) || has(self.base)",
            "give tuned, base, or both",
            lambda models: models.tuned is not None or models.base is not None,
        ),
    )

    @property
    def given(self) -> Mapping[Role, Model]:
        """Those that there are, by their role."""
        both = {Role.TUNED: self.tuned, Role.BASE: self.base}
        return {role: model for role, model in both.items() if model is not None}
