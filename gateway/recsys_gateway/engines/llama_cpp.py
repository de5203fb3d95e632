"""llama.cpp's HTTP server (also what ``xllamacpp`` runs)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities, LogProbabilities
from recsys_gateway.engines.dialect import ChatCall, Json, TokenizeRoute, openai_chat_body
from recsys_gateway.engines.load_metrics import LoadMetrics

_END_OF_TEXT = -1


class LlamaCpp:
    """Schema: ``response_format.schema``; where it is given otherwise, the engine may ignore it and answer freely.

    ``cache_prompt`` is off: with a cached prefix the logits differ in the last bits, and a seed would not repeat an
    answer. Models that think aloud are asked not to: the budget of tokens is for the answer.
    """

    engine = EngineType.LLAMA_CPP
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    load: LoadMetrics | None = LoadMetrics(
        prefix="llamacpp:",
        queued=("llamacpp:requests_deferred",),
        running=("llamacpp:requests_processing",),
        steps=("llamacpp:n_decode_total",),
    )
    tokenize: TokenizeRoute | None = TokenizeRoute("/tokenize", texts_per_call=128)
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`, or `json_object` with `schema`",
        tools=True,
        log_probabilities=LogProbabilities(None),
        adapters="`lora: [{id, scale}]` with every call (`recsys up` runs one process a model)",
        slots_flag="`--parallel`",
        overload="503 while it loads; it queues without bound",
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

    def translate(self, path: str, body: Json, name: str, *, adapter: bool) -> dict[str, object] | None:
        """It takes OpenAI's fields as they are, and any name of a model."""
        return None

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        """``content`` may mix texts and token ids: an id that no vocabulary has marks where a text ends."""
        content: list[str | int] = []
        for text in texts:
            content += [text, _END_OF_TEXT]
        return {"content": content, "add_special": False, "parse_special": True}

    def token_counts(self, answer: object, texts: int) -> list[int]:
        match answer:
            case {"tokens": list(tokens)} if tokens.count(_END_OF_TEXT) == texts:
                ends = [-1, *(place for place, token in enumerate(tokens) if token == _END_OF_TEXT)]
                return [end - start - 1 for start, end in pairwise(ends)]
            case _:
                raise ValueError("/tokenize of llama.cpp answers {tokens: [...]} with each text's end marked")

    def overloaded(self, status: int, body: str) -> bool:
        """503 is also what it says while the model loads; it queues without bound and never says 429 itself."""
        return status in {429, 503}
