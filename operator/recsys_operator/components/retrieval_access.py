"""How the gateway and the catalogue's Job reach embedder and vector store: addresses, tokens, tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import AnyHttpUrl
from recsys_gateway.config import Embedder, OpenAiEmbedder, TeiEmbedder, TritonEmbedder, VectorStore

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.retrieval import EmbedderEngineType, VectorStoreMode
from recsys_operator.components.encoder_files import encoder_files
from recsys_operator.components.labels import child_name
from recsys_operator.components.mounted_secrets import SECRETS, MountedSecret, token_secret

EMBEDDER = "embedder"
"""Component label, and the model's name in Triton's repository."""
MILVUS = "milvus"
MILVUS_PORT = 19530
TRITON_GRPC_PORT = 8001
TEI_PORT = 8080
SAMPLE_EMBEDDER = Path("/usr/share/recsys/samples/models/embedder")
"""In the gateway's image."""


def embedder_access(system: RecommenderSystem) -> Embedder:
    embedder = system.spec.embedder
    match embedder.engine.type:
        case EmbedderEngineType.TRITON:
            url = AnyHttpUrl(f"http://{_host(system, child_name(system, EMBEDDER))}:{TRITON_GRPC_PORT}")
            return TritonEmbedder(type="Triton", url=url, path=_tokenizer_folder(system))
        case EmbedderEngineType.TEI:
            url = AnyHttpUrl(f"http://{_host(system, child_name(system, EMBEDDER))}:{TEI_PORT}")
            return TeiEmbedder(type="TEI", url=url)
        case EmbedderEngineType.OPENAI:
            root = AnyHttpUrl(embedder.model.uri.rstrip("/").removesuffix("/v1"))
            key = _embedder_key(system)
            name = embedder.model.name or "default"
            return OpenAiEmbedder(type="OpenAI", url=root, model=name, api_key_file=key.file if key else None)


def _tokenizer_folder(system: RecommenderSystem) -> Path:
    return SAMPLE_EMBEDDER if system.spec.embedder.model.is_sample else Path(encoder_files(system).path)


def vector_store_access(system: RecommenderSystem) -> VectorStore:
    store = system.spec.vector_store
    if store.external is not None:
        token = _vector_store_token(system)
        return VectorStore(uri=AnyHttpUrl(store.external.uri), token_file=token.file if token else None)
    return VectorStore(uri=AnyHttpUrl(f"http://{_host(system, _milvus_service(system))}:{MILVUS_PORT}"))


def retrieval_secrets(system: RecommenderSystem) -> Sequence[MountedSecret]:
    """Tokens of an external embedder and of an external vector store."""
    return [secret for secret in (_embedder_key(system), _vector_store_token(system)) if secret]


def _embedder_key(system: RecommenderSystem) -> MountedSecret | None:
    source = system.spec.embedder.model
    if source.token_secret_ref is None or not source.is_external:
        return None
    return token_secret("embedder-key", SECRETS / "embedder", source.token_secret_ref)


def _vector_store_token(system: RecommenderSystem) -> MountedSecret | None:
    external = system.spec.vector_store.external
    if external is None or external.secret_ref is None:
        return None
    return token_secret("vector-store-token", SECRETS / "vector-store", external.secret_ref)


def _milvus_service(system: RecommenderSystem) -> str:
    """The Milvus Operator names its Service after the resource, with a suffix of its own."""
    name = child_name(system, MILVUS)
    managed = system.spec.vector_store.managed
    return f"{name}-milvus" if managed and managed.mode is VectorStoreMode.CLUSTER else name


def _host(system: RecommenderSystem, service: str) -> str:
    return f"{service}.{system.metadata.namespace or 'default'}.svc"
