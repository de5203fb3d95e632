"""Ollama, by its OpenAI routes (docs/openai.md, version 0.33). It shows no metrics: own counts are all there is."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities, LogProbabilities
from recsys_gateway.engines.dialect import (
    ChatCall,
    Json,
    TokenizeRoute,
    json_schema_format,
    no_tokenizer,
    openai_chat_body,
    with_model,
)
from recsys_gateway.engines.load_metrics import LoadMetrics


class Ollama:
    """Schema: ``response_format.json_schema``. ``top_k`` is no field of these routes and is left out."""

    engine = EngineType.OLLAMA
    health_path = "/api/version"
    metrics_path: str | None = None
    load: LoadMetrics | None = None
    tokenize: TokenizeRoute | None = None
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`",
        tools=True,
        log_probabilities=LogProbabilities(20),
        adapters="a model of its own (`ADAPTER` in its Modelfile)",
        slots_flag="`OLLAMA_NUM_PARALLEL`",
        overload="503 beyond `OLLAMA_MAX_QUEUE`",
    )

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        body = openai_chat_body(model, call, stream=stream)
        if call.schema is not None:
            body["response_format"] = json_schema_format(call)
        return body

    def translate(self, path: str, body: Json, name: str, *, adapter: bool) -> dict[str, object] | None:
        return with_model(body, name)

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        raise no_tokenizer(self.engine)

    def token_counts(self, answer: object, texts: int) -> list[int]:
        raise no_tokenizer(self.engine)

    def overloaded(self, status: int, body: str) -> bool:
        return status in {429, 503}
