"""Which dialect an engine speaks."""

from __future__ import annotations

from collections.abc import Mapping

from recsys_gateway.config import EngineType
from recsys_gateway.engines.dialect import Dialect
from recsys_gateway.engines.llama_cpp import LlamaCpp
from recsys_gateway.engines.ollama import Ollama
from recsys_gateway.engines.openai import OpenAI
from recsys_gateway.engines.sglang import SGLang
from recsys_gateway.engines.tgi import Tgi
from recsys_gateway.engines.vllm import Vllm

_ALL: tuple[Dialect, ...] = (Tgi(), Vllm(), SGLang(), LlamaCpp(), Ollama(), OpenAI())
DIALECTS: Mapping[EngineType, Dialect] = {dialect.engine: dialect for dialect in _ALL}


def dialect_of(engine: EngineType) -> Dialect:
    """The dialect of ``engine``."""
    return DIALECTS[engine]
