"""The images of this release. ``imageRegistry`` of a resource rewrites the registry of every one of them."""

from __future__ import annotations

from recsys_operator.api.recommender_system import RecommenderSystem

VERSION = "0.1.0"
GATEWAY = f"ghcr.io/recsys/gateway:{VERSION}"
OPERATOR = f"ghcr.io/recsys/operator:{VERSION}"
"""Also what runs in init containers, Jobs and the pods of sample models: it has the samples and the hub's client."""
TGI = "ghcr.io/huggingface/text-generation-inference:3.3.6"
VLLM = "docker.io/vllm/vllm-openai:v0.11.0"
SGLANG = "docker.io/lmsysorg/sglang:v0.5.3"
LLAMA_CPP = "ghcr.io/ggml-org/llama.cpp:server-cuda-b6700"
LLAMA_CPP_CPU = "ghcr.io/ggml-org/llama.cpp:server-b6700"
OLLAMA = "docker.io/ollama/ollama:0.12.3"
TRITON = "nvcr.io/nvidia/tritonserver:25.09-py3"
TEI = "ghcr.io/huggingface/text-embeddings-inference:1.8"
TEI_CPU = "ghcr.io/huggingface/text-embeddings-inference:cpu-1.8"
MILVUS = "docker.io/milvusdb/milvus:v2.6.3"


def image(system: RecommenderSystem, reference: str) -> str:
    """``reference``, pulled from the resource's own registry where it names one."""
    registry = system.spec.image_registry.rstrip("/")
    return f"{registry}/{_path(reference)}" if registry else reference


def _path(reference: str) -> str:
    """The reference without its registry: a first part with a dot or a port, or localhost, is one."""
    first, slash, rest = reference.partition("/")
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return rest if is_registry else reference
