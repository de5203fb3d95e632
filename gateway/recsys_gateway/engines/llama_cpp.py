"""llama.cpp's HTTP server (also what ``xllamacpp`` runs)."""

from __future__ import annotations

from recsys_gateway.config import EngineType
from recsys_gateway.engines.dialect import ChatCall, TokenizeRoute, openai_chat_body


class LlamaCpp:
    """Schema: ``response_format.schema``; where it is given otherwise, the engine may ignore it and answer freely.

    ``cache_prompt`` is off: with a cached prefix the logits differ in the last bits, and a seed would not repeat an
    answer. Models that think aloud are asked not to: the budget of tokens is for the answer.
    """

    engine = EngineType.LLAMA_CPP
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    tokenize: TokenizeRoute | None = TokenizeRoute(
        path="/tokenize", field="content", options={"add_special": False, "parse_special": True}
    )

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        body = openai_chat_body(model, call, stream=stream)
        body["cache_prompt"] = False
        body["chat_template_kwargs"] = {"enable_thinking": False}
        if call.top_k is not None:
            body["top_k"] = call.top_k
        if call.schema is not None:
            body["response_format"] = {"type": "json_object", "schema": call.schema, "value": call.schema}
        return body

    def token_count(self, answer: object) -> int:
        match answer:
            case {"tokens": list(tokens)}:
                return len(tokens)
            case _:
                raise ValueError("/tokenize of llama.cpp answers {tokens: [...]}")

    def overloaded(self, status: int, body: str) -> bool:
        """503 is also what it says while the model loads; it queues without bound and never says 429 itself."""
        return status in {429, 503}
