"""Which dialect an engine speaks."""

from __future__ import annotations

from collections.abc import Mapping

from recsys_gateway.config import ConfigurationError, EngineType
from recsys_gateway.engines.dialect import Dialect
from recsys_gateway.engines.llama_cpp import LlamaCpp
from recsys_gateway.engines.openai import OpenAI
from recsys_gateway.engines.tgi import Tgi

DIALECTS: Mapping[EngineType, Dialect] = {dialect.engine: dialect for dialect in (LlamaCpp(), OpenAI(), Tgi())}


def dialect_of(engine: EngineType) -> Dialect:
    """The dialect of ``engine``.

    Raises:
        ConfigurationError: the gateway has none for it yet; the message names those that it has.
    """
    try:
        return DIALECTS[engine]
    except KeyError:
        known = ", ".join(sorted(DIALECTS))
        raise ConfigurationError(f"the gateway does not speak to {engine} yet; engines it speaks to: {known}") from None
