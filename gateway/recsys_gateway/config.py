"""What the operator writes and the gateway reads: one frozen tree, camelCase in YAML as in the resource.

What is not there is off: with ``models`` alone the gateway is an OpenAI-compatible front to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, Discriminator, Field, StringConstraints, Tag, model_validator

from recsys_gateway.document import Frozen, read_document

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]


class Role(StrEnum):
    TUNED = "tuned"
    BASE = "base"


class EngineType(StrEnum):
    TGI = "TGI"
    VLLM = "VLLM"
    SGLANG = "SGLang"
    LLAMA_CPP = "LlamaCpp"
    OLLAMA = "Ollama"
    OPENAI = "OpenAI"


class RankingMode(StrEnum):
    """How the tuned model makes its list (docs/design/pipeline.md)."""

    TOOL_CALL = "ToolCall"
    VERBALIZER = "Verbalizer"
    ITEM_TOKENS = "ItemTokens"


class Track(StrEnum):
    """Which version of a model a pool runs."""

    STABLE = "stable"
    CANARY = "canary"


class PolicyName(StrEnum):
    """How a pod is chosen (docs/design/serving.md)."""

    WEIGHTED_LEAST_LOAD = "WeightedLeastLoad"
    ROUND_ROBIN = "RoundRobin"
    SMOOTH_WEIGHTED_ROUND_ROBIN = "SmoothWeightedRoundRobin"
    LEAST_REQUEST = "LeastRequest"
    POWER_OF_TWO = "PowerOfTwo"
    AFFINITY = "Affinity"


class Endpoint(Frozen):
    url: AnyHttpUrl


class ServiceReference(Frozen):
    """Services of a cluster, by their labels: their EndpointSlices carry the same ones."""

    namespace: Name
    selector: Mapping[str, str] = Field(min_length=1, description="Labels that a Service must have, all of them.")

    def __hash__(self) -> int:
        return hash((self.namespace, frozenset(self.selector.items())))


class PodService(ServiceReference):
    """The Services whose EndpointSlices name a pool's pods."""

    port: Annotated[int, Field(ge=1, le=65535)] | Name | None = Field(
        default=None, description="Its name or number in the EndpointSlices; absent: the one named http, or the only."
    )

    __hash__ = ServiceReference.__hash__


class Pool(Frozen):
    """Pods of one kind: a list of addresses, a DNS name that leads to them, or a cluster's Service."""

    name: Name
    weight: float = Field(default=1.0, gt=0, description="Relative speed of one pod; what is learnt refines it.")
    slots: int | None = Field(default=None, ge=1, description="Sequences that a pod runs at once; absent: learnt.")
    track: Track = Field(default=Track.STABLE, description="`canary` for a pool that gets the canary's share.")
    endpoints: tuple[Endpoint, ...] = ()
    dns: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$",
        description="`name:port`; each address that the name has is a pod, looked up again and again.",
    )
    service: PodService | None = Field(default=None, description="Of a cluster; its EndpointSlices are watched.")

    @model_validator(mode="after")
    def _one_source(self) -> Pool:
        given = {"endpoints": self.endpoints, "dns": self.dns, "service": self.service}
        if len(names := [name for name, value in given.items() if value]) > 1:
            raise ValueError(f"{' and '.join(names)} exclude each other: a pool has one source of pods")
        urls = [str(endpoint.url) for endpoint in self.endpoints]
        if len(urls) != len(set(urls)):
            raise ValueError("endpoints: two of them have the same url")
        return self


class CallTimeouts(Frozen):
    """Bounds of one call to an engine. What is slower counts as failed, and the answer goes without it."""

    connect_seconds: float = Field(default=2, gt=0)
    first_byte_seconds: float = Field(default=30, gt=0, description="Until the engine begins to answer.")
    idle_seconds: float = Field(default=15, gt=0, description="Silence inside a stream.")
    start_up_seconds: float = Field(
        default=60, gt=0, description="Of a pod: what Retry-After says while there is none at all."
    )


class ServedModel(Frozen):
    """A model behind one or more pools. ``name`` is what OpenAI clients ask for."""

    name: str = Field(min_length=1, max_length=200)
    role: Role
    engine: EngineType
    pools: tuple[Pool, ...] = Field(min_length=1)
    timeouts: CallTimeouts = CallTimeouts()
    adapters: tuple[str, ...] = Field(default=(), description="Adapters of the engine, asked for by their own names.")
    canary_traffic: float = Field(default=0, ge=0, le=100, description="Percent of the calls for the canary's pools.")
    token_budget: int | None = Field(
        default=None, ge=1, description="Tokens that fit a TGI pod's batch: its KV use is a share of it."
    )
    api_key_env: str | None = Field(default=None, description="Environment variable with the engine's own API key.")
    api_key_file: Path | None = Field(default=None, description="File with that key instead; read again on change.")
    log_probabilities: int | None = Field(
        default=None,
        ge=1,
        description="Alternatives a token that the engine was started to tell (TGI: `--max-top-n-tokens`, vLLM: "
        "`--max-logprobs`); absent: the engine's own default. The modes Verbalizer and ItemTokens rest on it.",
    )
    sample: bool = Field(default=False, description="One of recsys's own sample models: said wherever a user meets it.")


class PriorityFloors(Frozen):
    """Shares of the calls and of the places in the queue that lower priorities keep, whatever the higher ones want."""

    normal: float = Field(default=0.2, ge=0, le=0.5, description="Of calls without a priority.")
    low: float = Field(default=0.05, ge=0, le=0.5, description="Of those that may wait longest.")


class Admission(Frozen):
    """How calls wait, and when they are refused (docs/design/serving.md)."""

    max_queue_depth: int = Field(default=1, ge=0, description="Calls sent to a pod beyond its slots.")
    max_kv_use: float = Field(default=0.9, gt=0, le=1, description="A pod whose cache is fuller gets no new call.")
    max_waiting: int = Field(default=512, ge=0, description="Calls that wait in the gateway; more are refused.")
    tenant_share: float = Field(default=0.5, gt=0, le=1, description="Of those places, what one tenant may fill.")
    default_timeout_seconds: float = Field(default=60, gt=0, description="Of calls without a deadline of their own.")
    wait_share: float = Field(
        default=0.4, gt=0, le=1, description="Of a call's time, what it may be expected to wait; else it is refused."
    )
    newest_first_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Where a tenant's oldest call would wait more than this share of its time, the newest goes first.",
    )
    floors: PriorityFloors = Field(default=PriorityFloors(), description="What lower priorities keep.")
    drain_seconds: float = Field(default=30, gt=0, description="After SIGTERM, for the calls that have begun.")


class Balancing(Frozen):
    policy: PolicyName = Field(default=PolicyName.WEIGHTED_LEAST_LOAD, description="How a pod is chosen.")
    replicas: int = Field(
        default=1, ge=1, description="Gateways that share the pods; each fills its part of the slots."
    )
    gateways: ServiceReference | None = Field(
        default=None, description="The gateways' own Service: its ready endpoints are counted instead of `replicas`."
    )
    patience: float = Field(
        default=0.06, ge=0, description="Of WeightedLeastLoad: how much a call waits for a faster pod. 0: never."
    )
    retry_budget: float = Field(default=0.1, ge=0, le=1, description="Calls that may be sent again, per call.")


class PodMetrics(Frozen):
    """Each pod's own metrics."""

    type: Literal["Pods"] = "Pods"
    interval_seconds: float = Field(default=0.5, gt=0, le=60)
    timeout_seconds: float = Field(default=1, gt=0, le=60)


class PrometheusMetrics(Frozen):
    """A Prometheus server that scrapes the pods; its ``instance`` label is a pod's host and port."""

    type: Literal["Prometheus"]
    url: AnyHttpUrl
    interval_seconds: float = Field(default=5, gt=0, le=300)
    timeout_seconds: float = Field(default=5, gt=0, le=60)


class Auth(Frozen):
    """API keys as files: the file's name is the tenant, its content the key. Read again when they change."""

    keys_directory: Path
    admin_keys_directory: Path | None = Field(default=None, description="Keys that may also change the catalogue.")


class Cors(Frozen):
    """Web pages of other origins that may ask. Off where it is not there."""

    allow_origins: tuple[str, ...] = Field(
        min_length=1, description='Such as https://shop.example; "*": any page, which then sends no credentials.'
    )
    max_age_seconds: int = Field(default=600, ge=0, description="How long a browser keeps the permission.")


class Tracing(Frozen):
    """OpenTelemetry over HTTP. Spans carry names, counts and times; never a prompt, a query or a trait."""

    endpoint: AnyHttpUrl = Field(description="Of an OTLP/HTTP collector, such as http://collector:4318/v1/traces.")
    sample_share: float = Field(default=1.0, ge=0, le=1, description="Of the requests, how many are traced.")


class VectorStore(Frozen):
    """Milvus, by its address."""

    uri: AnyHttpUrl
    token_env: str | None = Field(default=None, description="Environment variable with its token.")
    token_file: Path | None = Field(default=None, description="File with that token instead; read again on change.")
    timeout_seconds: float = Field(default=5, gt=0)


class InProcessEmbedder(Frozen):
    """An ONNX sentence encoder run by the gateway itself: a folder with ``model.onnx`` and its tokenizer."""

    type: Literal["InProcess"] = "InProcess"
    path: Path


class RemoteEmbedder(Frozen):
    """What every embedder over the network has."""

    url: AnyHttpUrl
    timeout_seconds: float = Field(default=5, gt=0, description="Of one call, connecting included.")
    batch: int = Field(default=32, ge=1, le=2048, description="Texts of one call.")


class TritonEmbedder(RemoteEmbedder):
    """A Triton server: ``input_ids`` and ``attention_mask`` in, ``sentence_embedding`` out; the gateway tokenizes."""

    type: Literal["Triton"]
    url: AnyHttpUrl = Field(description="Of its gRPC port, such as http://embedder:8001.")
    model: str = Field(default="embedder", min_length=1, description="Its name in Triton's model repository.")
    path: Path = Field(description="Folder with the model's tokenizer.json or hashing.json.")


class TeiEmbedder(RemoteEmbedder):
    """Hugging Face's Text Embeddings Inference."""

    type: Literal["TEI"]
    url: AnyHttpUrl = Field(description="Such as http://embedder:80.")
    api_key_file: Path | None = Field(default=None, description="File with its API key; read again on change.")


class OpenAiEmbedder(RemoteEmbedder):
    """A server with OpenAI's ``/v1/embeddings``."""

    type: Literal["OpenAI"]
    url: AnyHttpUrl = Field(description="Such as https://api.openai.com.")
    model: str = Field(min_length=1, max_length=200)
    dimensions: int | None = Field(default=None, ge=1, description="Asked for; absent: the model's own.")
    api_key_env: str | None = Field(default=None, description="Environment variable with its API key.")
    api_key_file: Path | None = Field(default=None, description="File with that key instead; read again on change.")


def _embedder_type(value: Any) -> str:
    given = value.get("type", "InProcess") if isinstance(value, Mapping) else getattr(value, "type", None)
    return str(given)


Embedder = Annotated[
    Annotated[InProcessEmbedder, Tag("InProcess")]
    | Annotated[TritonEmbedder, Tag("Triton")]
    | Annotated[TeiEmbedder, Tag("TEI")]
    | Annotated[OpenAiEmbedder, Tag("OpenAI")],
    Discriminator(
        _embedder_type,
        custom_error_type="embedder_type",
        custom_error_message="type: InProcess, Triton, TEI or OpenAI is needed",
    ),
]
"""What makes vectors of texts; without a ``type`` it is the one in this process."""


class Diversity(Frozen):
    """``lambda`` of maximal marginal relevance: 1 is relevance alone, 0 is diversity alone."""

    mmr_lambda: float = Field(
        default=0.45, ge=0, le=1, alias="lambda", description="1 is relevance alone, 0 is diversity alone."
    )
    target_ild: float | None = Field(
        default=None, ge=0, le=1, description="Cosine ILD to come close to, instead of lambda."
    )


class Recommendation(Frozen):
    """Defaults of a request, and the bounds of the pipeline."""

    size: int = Field(default=10, ge=1, le=100, description="Items of an answer.")
    candidates: int = Field(default=20, ge=1, le=100, description="Candidates shown to the tuned model.")
    mode: RankingMode = Field(default=RankingMode.TOOL_CALL, description="How the tuned model makes its list.")
    shuffles: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Of Verbalizer: orders of the candidates that are asked about, one call each.",
    )
    diversity: Diversity = Field(default=Diversity(), description="How unlike each other the items of an answer are.")
    language: str | None = Field(default=None, description="Of the answer; default: the language of the query.")
    prompt_tokens: int = Field(default=512, ge=64, description="Budget of the ranking prompt, in the engine's tokens.")
    history_length: int = Field(default=10, ge=0, le=100, description="Latest items of the history in the prompt.")
    narrated_items: int = Field(default=3, ge=1, le=10, description="Items of the slate that the sentence speaks of.")
    prompt_traits: tuple[str, ...] | None = Field(
        default=None, description="Customer traits that may enter a prompt; absent: all of them."
    )


class GatewayConfig(Frozen):
    models: tuple[ServedModel, ...] = Field(min_length=1)
    admission: Admission = Admission()
    balancing: Balancing = Balancing()
    metrics_source: Annotated[PodMetrics | PrometheusMetrics, Field(discriminator="type")] = PodMetrics()
    auth: Auth | None = None
    cors: Cors | None = None
    tracing: Tracing | None = None
    embedder: Embedder | None = None
    vector_store: VectorStore | None = None
    recommendation: Recommendation | None = None

    @model_validator(mode="after")
    def _pipeline_is_whole(self) -> GatewayConfig:
        if self.recommendation is not None and (self.vector_store is None or self.embedder is None):
            raise ValueError("recommendation needs vectorStore and embedder beside it")
        names = [model.name for model in self.models]
        if len(names) != len(set(names)):
            raise ValueError("models: two models share a name")
        return self

    def model(self, role: Role) -> ServedModel | None:
        """The first model of ``role``, or None."""
        return next((model for model in self.models if model.role is role), None)


def load_config(path: Path) -> GatewayConfig:
    """The configuration in the YAML file at ``path``; raises as ``read_document``."""
    return read_document(path, GatewayConfig)
