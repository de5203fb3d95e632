"""Text Generation Inference, by captured exchanges with its router."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities, LogProbabilities
from recsys_gateway.engines.dialect import ChatCall, Json, TokenizeRoute, openai_chat_body
from recsys_gateway.engines.load_metrics import LoadMetrics
from recsys_gateway.engines.tgi_requests import BASE_MODEL, tgi_request


class Tgi:
    """Schema: ``response_format.value``. The base model is called "tgi": any other name is taken for an adapter.

    ``top_p`` of 1 is refused and therefore left out. ``/tokenize`` adds the special tokens of one sequence.
    """

    engine = EngineType.TGI
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    load: LoadMetrics | None = LoadMetrics(
        prefix="tgi_",
        queued=("tgi_queue_size",),
        running=("tgi_batch_current_size",),
        kv_tokens=("tgi_batch_current_max_tokens",),
        steps=("tgi_batch_inference_count",),
        steps_labels=(("method", "decode"),),
    )
    tokenize: TokenizeRoute | None = TokenizeRoute("/tokenize", texts_per_call=1)
    capabilities = Capabilities(
        structured_output="`response_format` `{type: json_object, value: SCHEMA}`, with top-level `properties`",
        tools=True,
        log_probabilities=LogProbabilities(5, "--max-top-n-tokens"),
        adapters="`model: ADAPTER` (`--lora-adapters`)",
        slots_flag="`--max-batch-size`",
        overload="429 `overloaded`; in a stream 200 and an error event",
    )

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        """``top_k`` is no field of the chat route and is left out."""
        body = openai_chat_body(BASE_MODEL, call, stream=stream)
        if call.top_p is not None and call.top_p >= 1:
            del body["top_p"]
        if call.schema is not None:
            body["response_format"] = {"type": "json_object", "schema": call.schema, "value": call.schema}
        return body

    def translate(self, path: str, body: Json, name: str, *, adapter: bool) -> dict[str, object] | None:
        return tgi_request(path, body, name if adapter else BASE_MODEL)

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
