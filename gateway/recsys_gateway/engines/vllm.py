"""vLLM's OpenAI server. Names of series: vllm/v1/metrics/loggers.py of its version 0.11."""

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


class Vllm:
    """Schema: ``response_format.json_schema``. ``top_k`` is a field of its own beside OpenAI's."""

    engine = EngineType.VLLM
    health_path = "/health"
    metrics_path: str | None = "/metrics"
    load: LoadMetrics | None = LoadMetrics(
        prefix="vllm:",
        queued=("vllm:num_requests_waiting",),
        running=("vllm:num_requests_running",),
        kv_share=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        steps=("vllm:iteration_tokens_total_count",),
    )
    tokenize: TokenizeRoute | None = TokenizeRoute("/tokenize", texts_per_call=1)
    capabilities = Capabilities(
        structured_output="`response_format` `json_schema`",
        tools=True,
        log_probabilities=LogProbabilities(20, "--max-logprobs"),
        adapters="`model: ADAPTER` (`--lora-modules`)",
        slots_flag="`--max-num-seqs`",
        overload="503 where its queue is bounded; else it queues",
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
        return {"prompt": "".join(texts), "add_special_tokens": False}

    def token_counts(self, answer: object, texts: int) -> list[int]:
        match answer:
            case {"count": int(count)}:
                return [count]
            case _:
                raise ValueError("/tokenize of vLLM answers {count: …}")

    def overloaded(self, status: int, body: str) -> bool:
        return status in {429, 503}
