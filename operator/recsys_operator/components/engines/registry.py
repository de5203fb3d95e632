"""Which builder serves a model."""

from __future__ import annotations

from collections.abc import Mapping

from recsys_gateway.config import EngineType

from recsys_operator.api.models import Engine as EngineSpec
from recsys_operator.api.models import ModelSource
from recsys_operator.components.engines.engine import Engine
from recsys_operator.components.engines.llama_cpp import LlamaCpp
from recsys_operator.components.engines.ollama import Ollama
from recsys_operator.components.engines.sample import Sample
from recsys_operator.components.engines.sglang import SGLang
from recsys_operator.components.engines.tgi import Tgi
from recsys_operator.components.engines.vllm import Vllm

ENGINES: Mapping[EngineType, Engine] = {
    EngineType.TGI: Tgi(),
    EngineType.VLLM: Vllm(),
    EngineType.SGLANG: SGLang(),
    EngineType.LLAMA_CPP: LlamaCpp(),
    EngineType.OLLAMA: Ollama(),
}
SAMPLE = Sample()


def engine_of(source: ModelSource, spec: EngineSpec) -> Engine:
    """The engine of a model that this system runs; OpenAI is always external and has none."""
    return SAMPLE if source.is_sample else ENGINES[spec.type]
