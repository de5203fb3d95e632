"""Text Generation Inference, by captured exchanges with its router."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.dialect import ChatCall, TokenizeRoute, openai_chat_body


class Tgi:
    """Schema: ``response_format.value``. The base model is called "tgi": any other name is taken for an adapter.

    ``top_p`` of 1 is refused and therefore left out. ``/tokenize`` adds the special tokens of one sequence.
    """

    engine = EngineType.TGI
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    tokenize: TokenizeRoute | None = TokenizeRoute("/tokenize", texts_per_call=1)

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        """``top_k`` is no field of the chat route and is left out."""
        body = openai_chat_body("tgi", call, stream=stream)
        if call.top_p is not None and call.top_p >= 1:
            del body["top_p"]
        if call.schema is not None:
            body["response_format"] = {"type": "json_object", "schema": call.schema, "value": call.schema}
        return body

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        return {"inputs": "".join(texts)}

    def token_counts(self, answer: object, texts: int) -> list[int]:
        match answer:
            case list(tokens):
                return [sum(not _is_special(token) for token in tokens)]
            case _:
                raise ValueError("/tokenize of TGI answers a list of tokens")

    def overloaded(self, status: int, body: str) -> bool:
        """429, or a stream's error event: status 422 and "Model is overloaded" in its text."""
        return status in {429, 503} or "overloaded" in body


def _is_special(token: object) -> bool:
    """A special token, such as the beginning of the sequence, covers none of the text."""
    match token:
        case {"start": int(start), "stop": int(stop)}:
            return start == stop
        case _:
            raise ValueError("/tokenize of TGI answers tokens with start and stop")
