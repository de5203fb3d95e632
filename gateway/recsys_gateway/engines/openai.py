"""Any external endpoint that speaks OpenAI's API: a hosted model, or a server that this project does not start."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.dialect import ChatCall, TokenizeRoute, openai_chat_body


class OpenAI:
    """Schema: ``response_format.json_schema``. There is no tokenizer to ask: token counts are estimated."""

    engine = EngineType.OPENAI
    health_path = "/v1/models"
    metrics_path: str | None = None
    tokenize: TokenizeRoute | None = None

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        """``top_k`` is no field of this API and is left out."""
        body = openai_chat_body(model, call, stream=stream)
        if call.schema is not None:
            schema = {"name": "recommend", "schema": call.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        raise ValueError("an OpenAI endpoint has no /tokenize")

    def token_counts(self, answer: object, texts: int) -> list[int]:
        raise ValueError("an OpenAI endpoint has no /tokenize")

    def overloaded(self, status: int, body: str) -> bool:
        return status in {429, 503}
