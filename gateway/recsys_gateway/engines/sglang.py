"""SGLang's OpenAI server. Its series: python/sglang/srt/metrics/collector.py of version 0.5 (--enable-metrics)."""

from __future__ import annotations

from collections.abc import Sequence

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities
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
    tokenize: TokenizeRoute | None = None
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`",
        tools=True,
        log_probabilities=20,
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
        raise no_tokenizer(self.engine)

    def token_counts(self, answer: object, texts: int) -> list[int]:
        raise no_tokenizer(self.engine)

    def overloaded(self, status: int, body: str) -> bool:
        return status in {429, 503}
