"""What retrieval stands on: ``spec.catalog``, ``spec.embedder``, ``spec.vectorStore``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints
from recsys_gateway.catalog.source import CatalogSource, TableSource

from recsys_operator.api.models import ModelSource
from recsys_operator.api.rules import Rule, Ruled
from recsys_operator.api.workload import (
    HTTP_URL,
    HttpUrl,
    Image,
    LocalObjectReference,
    Placement,
    Quantity,
    SecretReference,
)

TableUri = Annotated[
    str, StringConstraints(pattern=rf"^(file|sample|pvc|s3|configMap)://.+$|{HTTP_URL}", max_length=1000)
]


class CatalogTable(TableSource):
    """One table. ``columns`` maps a field of ours to a column of the file; without it the file's own names count."""

    uri: TableUri = Field(
        description="pvc://CLAIM/PATH, s3://BUCKET/KEY, https://HOST/PATH, configMap://NAME/KEY, sample://shop, or on "
        "one machine file://PATH; ${NAME} is an environment variable."
    )


class OnError(StrEnum):
    STOP = "stop"
    SKIP = "skip"


class Catalog(CatalogSource, Placement):
    """Items are needed; users and interactions are what makes the answers personal. In a cluster a Job loads them;
    resources, nodeSelector, tolerations and podTemplate are its pod's."""

    items: CatalogTable = Field(description="What can be recommended.")
    users: CatalogTable | None = Field(default=None, description="Customers and their traits.")
    interactions: CatalogTable | None = Field(default=None, description="Purchases, ratings and other events.")
    secret_ref: LocalObjectReference | None = Field(
        default=None,
        description="Its keys are environment variables of the loading: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
        "AWS_ENDPOINT_URL for s3://, others for ${NAME} in an address.",
    )
    on_error: OnError = Field(default=OnError.STOP, description="What a bad row does: stop, or skip and count it.")


class EmbedderEngineType(StrEnum):
    TRITON = "Triton"
    TEI = "TEI"
    OPENAI = "OpenAI"


class EmbedderEngine(Ruled):
    type: EmbedderEngineType = Field(
        default=EmbedderEngineType.TRITON, description="Triton, TEI, or OpenAI for an external one with OpenAI's API."
    )
    image: Image | None = Field(default=None, description="Instead of the engine's own image.")


class Embedder(Placement):
    """The text encoder of items and queries."""

    model: ModelSource = Field(description="An ONNX sentence encoder with its tokenizer, or an external address.")
    engine: EmbedderEngine = Field(default=EmbedderEngine(), description="What runs it in a cluster.")
    replicas: int = Field(default=1, ge=1, le=1000, description="Number of its pods.")

    RULES: ClassVar = (
        Rule(
            "(self.model.uri.startsWith('http://') || self.model.uri.startsWith('https://'))"
            " == (self.engine.type == 'OpenAI')",
            "engine.type OpenAI and a model.uri of http(s):// belong together: give both, or neither",
            lambda embedder: embedder.model.is_external == (embedder.engine.type is EmbedderEngineType.OPENAI),
        ),
    )


class VectorStoreMode(StrEnum):
    STANDALONE = "Standalone"
    CLUSTER = "Cluster"


SIZE_GROWS = Rule(
    "quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
    "size cannot shrink: a volume only grows; give the old size or a larger one",
)
STORAGE_CLASS_STAYS = Rule(
    "has(self.storageClassName) == has(oldSelf.storageClassName)"
    " && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
    "storageClassName cannot change: a volume stays where it was made; give the old one, or make a new system",
)


class ManagedVectorStore(Placement):
    """A Milvus that the operator runs; on one machine: Milvus Lite."""

    size: Quantity = Field(default="10Gi", description="Of the volume; it may grow, never shrink.")
    storage_class_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Of the volume; cannot change."
    )
    mode: VectorStoreMode = Field(
        default=VectorStoreMode.STANDALONE,
        description="Standalone, or Cluster by the Milvus Operator; cannot change.",
    )
    image: Image | None = Field(default=None, description="Instead of Milvus's own image.")

    RULES: ClassVar = (
        SIZE_GROWS,
        STORAGE_CLASS_STAYS,
        Rule("self.mode == oldSelf.mode", "mode cannot change: the data would stay behind; make a new system"),
    )


class ExternalVectorStore(Ruled):
    """A Milvus that somebody else runs."""

    uri: HttpUrl = Field(description="Such as http://milvus.data.svc:19530.")
    secret_ref: SecretReference | None = Field(
        default=None, description="Its token. On one machine: the environment variable MILVUS_TOKEN."
    )


class VectorStore(Ruled):
    managed: ManagedVectorStore | None = Field(default=None, description="Run by the operator.")
    external: ExternalVectorStore | None = Field(default=None, description="Run by somebody else.")

    RULES: ClassVar = (
        Rule(
            "has(self.managed) != has(self.external)",
            "give managed or external, one of them",
            lambda store: (store.managed is None) != (store.external is None),
        ),
    )
