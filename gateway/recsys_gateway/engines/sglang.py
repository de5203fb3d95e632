"""SGLang's OpenAI server, version 0.5.

Its series: python/sglang/srt/metrics/collector.py (--enable-metrics); its tokenizer, which takes several texts a call:
python/sglang/srt/entrypoints/openai/serving_tokenize.py; log-probabilities, which have no bound: serving_chat.py there.
"""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities, LogProbabilities
from recsys_gateway.engines.dialect import (
    ChatCall,
    Json,
    TokenizeRoute,
    json_schema_format,
    openai_chat_body,
    with_model,
)
from recsys_gateway.engines.load_metrics import LoadMetrics


class SGLang:
    """Schema: ``response_format.json_schema``. ``top_k`` is a field of its own beside OpenAI's."""

    engine = EngineType.SGLANG
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    load: LoadMetrics | None = LoadMetrics(
        prefix="sglang:",
        queued=("sglang:num_queue_reqs",),
        running=("sglang:num_running_reqs",),
        kv_share=("sglang:token_usage",),
    )
    tokenize: TokenizeRoute | None = TokenizeRoute("/tokenize", texts_per_call=128)
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`",
        tools=True,
        log_probabilities=LogProbabilities(None),
        adapters="`model: MODEL:ADAPTER` (`--lora-paths`)",
        slots_flag="`--max-running-requests`",
        overload="503 beyond `--max-queued-requests`",
    )

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        body = openai_chat_body(model, call, stream=stream)
        if call.top_k is not None:
            body["top_k"] = call.top_k
        if call.schema is not None:
            body["response_format"] = json_schema_format(call)
        return body

    def translate(self, path: str, body: Json, name: str, *, adapter: bool) -> dict[str, object] | None:
        return with_model(body, name)

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        return {"prompt": list(texts), "add_special_tokens": False}

    def token_counts(self, answer: object, texts: int) -> list[int]:
        match answer:
            case {"count": [*counts]} if len(counts) == texts and all(isinstance(each, int) for each in counts):
                return [int(each) for each in counts]
            case _:
                raise ValueError("/tokenize of SGLang answers {count: [...]} with one number a text")

    def overloaded(self, status: int, body: str) -> bool:
        return status in {429, 503}
