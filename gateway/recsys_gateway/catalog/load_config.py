"""What ``recsys-gateway load`` reads: a catalogue, and where it goes. The operator writes it for a cluster's Job."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.config import Embedder, VectorStore
from recsys_gateway.document import Frozen, read_document


class OnError(StrEnum):
    """What a bad row does: stops the load, or is counted and left out."""

    STOP = "stop"
    SKIP = "skip"


class LoadConfig(Frozen):
    """One load. Embedder and vector store are given as to the gateway."""

    catalog: CatalogSource
    vector_store: VectorStore
    embedder: Embedder
    on_error: OnError = Field(default=OnError.STOP, description="What a bad row does: end the load, or be left out.")
    wait_seconds: float = Field(default=600, ge=0, description="For embedder and vector store to come up.")
    max_table_bytes: int = Field(default=4 << 30, ge=1, description="Of one table that is fetched; more is refused.")


def load_load_config(path: Path) -> LoadConfig:
    """The configuration in the YAML file at ``path``; raises ConfigurationError as ``config.load_config``."""
    return read_document(path, LoadConfig)
