"""What Text Generation Inference 3.3 answers, from its captured exchanges, and what it counts."""

from __future__ import annotations

import json

from fake_engine import tgi_requests
from fake_engine.generation import Gauges, Generation, Refusal, Timing
from fake_engine.script import json_text, pieces_of

FINGERPRINT = "3.3.6-dev0-native"
CORS = (
    "vary: origin, access-control-request-method, access-control-request-headers\r\naccess-control-allow-origin: *\r\n"
)


class Tgi:
    """The limit counts what runs and what waits for a live client; ``/metrics`` is empty until the first request."""

    keeps_aborted = True
    refuses_in_stream = True
    default_limit: int | None = 128

    def __init__(self, model: str, limit: int | None) -> None:
        self._model = model
        self._limit = limit

    def read(self, path: str, raw: bytes) -> Generation:
        return tgi_requests.read(path, raw, self._model)

    def overload(self) -> Refusal:
        return Refusal(429, '{"error":"Model is overloaded","error_type":"overloaded"}')

    def refusal_event(self, refusal: Refusal) -> bytes:
        """Each refusal is a 422 inside a stream, an overload too. A tool call that cannot be read leaves no trace."""
        body = json.loads(refusal.body)
        if body.get("error_type") == "tool_error":
            return b"data: [DONE]\n\n"
        event = json_text({"error": {"message": body["error"], "http_status_code": 422}})
        return f"data: {event}\n\ndata: [DONE]\n\n".encode()

    def whole(self, generation: Generation, timing: Timing) -> tuple[str, str]:
        head = f'"id":"","created":{timing.created},"model":{json.dumps(generation.model)}'
        logprobs = "null" if generation.logprobs is None else json_text({"content": _logprobs(generation)})
        if generation.chat:
            message = f'"message":{_message(generation)},"logprobs":{logprobs}'
        else:
            message = f'"text":{json.dumps("".join(generation.text.pieces))},"logprobs":null'
        kind = "chat.completion" if generation.chat else "text_completion"
        choice = f'{{"index":0,{message},"finish_reason":"{generation.text.reason}"}}'
        usage = json_text(generation.usage)
        body = f'{{"object":"{kind}",{head},"system_fingerprint":"{FINGERPRINT}","choices":[{choice}],"usage":{usage}}}'
        return _timing_headers(generation, timing), body

    def stream_headers(self, generation: Generation) -> str:
        characters = f"x-compute-type: gpu+optimized\r\nx-compute-characters: {generation.characters}\r\n"
        return f"cache-control: no-cache\r\n{characters}x-accel-buffering: no\r\n{CORS}"

    def opening(self, generation: Generation, created: int) -> bytes:
        return b""

    def event(self, generation: Generation, created: int, token: int) -> bytes:
        text = generation.text
        piece = json.dumps(text.pieces[token - 1])
        last = token == len(text.pieces) and text.reason != "stop"
        if not generation.chat:
            if last:
                return self._last_text(generation, created, piece, text.reason)
            choice = f'{{"index":0,"text":{piece},"logprobs":null,"finish_reason":""}}'
            head = f'"object":"text_completion","id":"","created":{created},"choices":[{choice}]'
            model = f'"model":{json.dumps(generation.model)},"system_fingerprint":"{FINGERPRINT}"'
            return f"data: {{{head},{model}}}\n\n".encode()
        reason = f'"{text.reason}"' if last else "null"
        if generation.tool is None:
            return self._chat_event(generation, created, f'"content":{piece}', reason)
        name = json.dumps(generation.tool) if token == 1 else "null"
        function = f'{{"index":0,"id":"0","type":"function","function":{{"name":{name},"arguments":{piece}}}}}'
        return self._chat_event(generation, created, f'"tool_calls":[{function}]', "null")

    def closing(self, generation: Generation, created: int) -> list[bytes]:
        events = []
        if generation.text.reason == "stop":
            if not generation.chat:
                events.append(self._last_text(generation, created, '"<|eot_id|>"', "eos_token"))
            elif generation.tool is None:
                events.append(self._chat_event(generation, created, '"content":""', '"stop"'))
        if generation.chat and generation.include_usage:
            usage = f'"choices":[],"usage":{json_text(generation.usage)}'
            events.append(f"data: {{{self._chunk_head(generation, created)},{usage}}}\n\n".encode())
        return [*events, b"data: [DONE]\n\n"]

    def _chunk_head(self, generation: Generation, created: int) -> str:
        model = json.dumps(generation.model)
        head = f'"object":"chat.completion.chunk","id":"","created":{created},"model":{model}'
        return f'{head},"system_fingerprint":"{FINGERPRINT}"'

    def _chat_event(self, generation: Generation, created: int, delta: str, reason: str) -> bytes:
        choice = f'{{"index":0,"delta":{{"role":"assistant",{delta}}},"logprobs":null,"finish_reason":{reason}}}'
        head = self._chunk_head(generation, created)
        return f'data: {{{head},"choices":[{choice}],"usage":null}}\n\n'.encode()

    def _last_text(self, generation: Generation, created: int, piece: str, reason: str) -> bytes:
        """The last event of a text stream is ordered otherwise, and always has the usage."""
        head = f'"object":"text_completion","id":"","created":{created},"model":{json.dumps(generation.model)}'
        choice = f'{{"index":0,"text":{piece},"logprobs":null,"finish_reason":"{reason}"}}'
        usage = f'"choices":[{choice}],"usage":{json_text(generation.usage)}'
        return f'data: {{{head},"system_fingerprint":"{FINGERPRINT}",{usage}}}\n\n'.encode()

    def metrics(self, gauges: Gauges) -> str:
        if not gauges.requests:
            return ""
        failures = "".join(f'tgi_request_failure{{err="{why}"}} {n}\n' for why, n in sorted(gauges.failed.items()) if n)
        return _METRICS.format(
            steps=gauges.steps,
            prefills=gauges.requests - gauges.queued,
            success=gauges.succeeded,
            requests=gauges.requests + gauges.chats,
            queue=gauges.queued,
            reserved=gauges.reserved_tokens,
            batch=gauges.running,
            generated=gauges.answered_tokens,
        ) + (f"\n# TYPE tgi_request_failure counter\n{failures}" if failures else "")

    def models(self) -> dict[str, object]:
        model = {"id": self._model, "object": "model", "created": 0, "owned_by": self._model}
        return {"object": "list", "data": [model]}

    def info(self) -> dict[str, object] | None:
        return {
            "model_id": self._model,
            "model_sha": None,
            "model_pipeline_tag": None,
            "max_concurrent_requests": self._limit,
            "max_best_of": 2,
            "max_stop_sequences": tgi_requests.MAX_STOP_SEQUENCES,
            "max_input_tokens": tgi_requests.MAX_TOTAL_TOKENS - 1,
            "max_total_tokens": tgi_requests.MAX_TOTAL_TOKENS,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": "3.3.6-dev0",
            "sha": None,
            "docker_label": None,
        }

    def tokenize(self, raw: bytes) -> object:
        """One empty special token first, as of one sequence."""
        tokens, start = [{"id": 0, "text": "", "start": 0, "stop": 0}], 0
        for piece in pieces_of(json.loads(raw)["inputs"]):
            stop = start + len(piece)
            tokens.append({"id": 294 + len(tokens), "text": piece, "start": start, "stop": stop})
            start = stop
        return tokens


def _message(generation: Generation) -> str:
    written = "".join(generation.text.pieces)
    if generation.tool is None:
        return f'{{"role":"assistant","content":{json.dumps(written)}}}'
    function = {"description": None, "name": generation.tool, "arguments": written}
    return json_text({"role": "assistant", "tool_calls": [{"id": "0", "type": "function", "function": function}]})


def _logprobs(generation: Generation) -> list[dict[str, object]]:
    """Made up: the token itself first, then others, each less likely."""
    rows: list[dict[str, object]] = []
    for piece in generation.text.pieces:
        others = [piece, " that", " qu", " red", " so"][: generation.logprobs]
        top = [{"token": other, "logprob": -0.01 - 1.5 * rank} for rank, other in enumerate(others)]
        rows.append({"token": piece, "logprob": -0.01, "top_logprobs": top})
    return rows


def _timing_headers(generation: Generation, timing: Timing) -> str:
    """Milliseconds; a chat has its whole time in seconds too."""
    total, made = timing.queued + timing.ran, generation.text.tokens
    compute = f"x-compute-time: {total:.9f}\r\n" if generation.chat else ""
    return (
        f"x-compute-type: gpu+optimized\r\n{compute}x-compute-characters: {generation.characters}\r\n"
        f"x-total-time: {total * 1000:.0f}\r\nx-validation-time: 0\r\nx-queue-time: {timing.queued * 1000:.0f}\r\n"
        f"x-inference-time: {timing.ran * 1000:.0f}\r\nx-time-per-token: {timing.ran * 1000 / max(1, made):.0f}\r\n"
        f"x-prompt-tokens: {generation.prompt_tokens}\r\nx-generated-tokens: {made}\r\n{CORS}"
    )


_METRICS = """\
# HELP tgi_batch_inference_count Inference calls per method (prefill or decode)
# TYPE tgi_batch_inference_count counter
tgi_batch_inference_count{{method="prefill"}} {prefills}
tgi_batch_inference_count{{method="decode"}} {steps}

# HELP tgi_batch_inference_success Number of successful inference calls per method (prefill or decode)
# TYPE tgi_batch_inference_success counter
tgi_batch_inference_success{{method="prefill"}} {prefills}
tgi_batch_inference_success{{method="decode"}} {steps}

# HELP tgi_request_success Number of successful requests
# TYPE tgi_request_success counter
tgi_request_success {success}

# HELP tgi_request_count Total number of requests
# TYPE tgi_request_count counter
tgi_request_count {requests}

# HELP tgi_queue_size Current queue size
# TYPE tgi_queue_size gauge
tgi_queue_size {queue}

# HELP tgi_batch_current_max_tokens Maximum tokens for the current batch
# TYPE tgi_batch_current_max_tokens gauge
tgi_batch_current_max_tokens {reserved}

# HELP tgi_batch_current_size Current batch size
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size {batch}

# HELP tgi_request_generated_tokens Generated tokens per request
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{{le="+Inf"}} {success}
tgi_request_generated_tokens_sum {generated}
tgi_request_generated_tokens_count {success}
"""
