"""The embedder that a configuration names. What only one kind needs is imported with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.remote_embedding import RemoteEmbedder
from recsys_gateway.config import Embedder as EmbedderConfig
from recsys_gateway.config import InProcessEmbedder, OpenAiEmbedder, TeiEmbedder, TritonEmbedder


class TextEmbedder(Protocol):
    """Unit vectors of texts, [n, dimension]. ``problem`` says how the last call failed; empty: it did not."""

    @property
    def dimension(self) -> int: ...

    @property
    def problem(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def load_embedder(config: EmbedderConfig) -> TextEmbedder:
    """An embedder that has made a vector already.

    Raises:
        EmbedderError: its files are absent or unusable, or its server does not answer.
    """
    match config:
        case InProcessEmbedder(path=path):
            return Embedder.load(path)
        case TritonEmbedder():
            from recsys_gateway.catalog.triton_embedding import TritonServer

            return RemoteEmbedder(TritonServer(config), config.timeout_seconds)
        case TeiEmbedder():
            from recsys_gateway.catalog.http_embedding import TeiServer

            return RemoteEmbedder(TeiServer(config), config.timeout_seconds)
        case OpenAiEmbedder():
            from recsys_gateway.catalog.http_embedding import OpenAiServer

            return RemoteEmbedder(OpenAiServer(config), config.timeout_seconds)
