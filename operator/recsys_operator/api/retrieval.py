"""What retrieval stands on: ``spec.embedder``, ``spec.vectorStore``."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import AnyHttpUrl, Field, model_validator
from recsys_gateway.config import Frozen

from recsys_operator.api.models import ModelSource
from recsys_operator.api.workload import Quantity, Resources, SecretReference


class EmbedderEngineType(StrEnum):
    TRITON = "Triton"
    TEI = "TEI"
    OPENAI = "OpenAI"


class EmbedderEngine(Frozen):
    type: EmbedderEngineType = Field(
        default=EmbedderEngineType.TRITON, description="Triton, TEI, or OpenAI for an external one with OpenAI's API."
    )
    image: str | None = Field(default=None, min_length=1, description="Instead of the engine's own image.")


class Embedder(Frozen):
    """The text encoder of items and queries."""

    model: ModelSource = Field(description="An ONNX sentence encoder with its tokenizer, or an external address.")
    engine: EmbedderEngine = Field(default=EmbedderEngine(), description="What runs it in a cluster.")
    replicas: int = Field(default=1, ge=1, description="Number of its pods.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of one pod.")

    @model_validator(mode="after")
    def _external_is_openai(self) -> Self:
        if self.model.is_external != (self.engine.type is EmbedderEngineType.OPENAI):
            raise ValueError("engine.type OpenAI and a model.uri of http(s):// belong together")
        return self


class VectorStoreMode(StrEnum):
    STANDALONE = "Standalone"
    CLUSTER = "Cluster"


class ManagedVectorStore(Frozen):
    """A Milvus that the operator runs; on one machine: Milvus Lite."""

    size: Quantity = Field(default="10Gi", description="Of the volume.")
    storage_class_name: str | None = Field(default=None, min_length=1, description="Of the volume; cannot change.")
    mode: VectorStoreMode = Field(
        default=VectorStoreMode.STANDALONE, description="Standalone, or Cluster by the Milvus Operator."
    )


class ExternalVectorStore(Frozen):
    """A Milvus that somebody else runs."""

    uri: AnyHttpUrl = Field(description="Such as http://milvus.data.svc:19530.")
    secret_ref: SecretReference | None = Field(
        default=None, description="Its token. On one machine: the environment variable MILVUS_TOKEN."
    )


class VectorStore(Frozen):
    managed: ManagedVectorStore | None = Field(default=None, description="Run by the operator.")
    external: ExternalVectorStore | None = Field(default=None, description="Run by somebody else.")

    @model_validator(mode="after")
    def _managed_or_external(self) -> Self:
        if (self.managed is None) == (self.external is None):
            raise ValueError("give managed or external, one of them")
        return self
