"""Any external endpoint that speaks OpenAI's API: a hosted model, or a server that this project does not start."""

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


class OpenAI:
    """Schema: ``response_format.json_schema``. There is no tokenizer to ask: token counts are estimated."""

    engine = EngineType.OPENAI
    health_path = "/v1/models"
    metrics_path: str | None = None
    load: LoadMetrics | None = None
    tokenize: TokenizeRoute | None = None
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`",
        tools=True,
        log_probabilities=LogProbabilities(20),
        adapters="a model's name",
        slots_flag="none: learnt from what is refused",
        overload="429 or 503",
    )

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        """``top_k`` is no field of this API and is left out."""
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
