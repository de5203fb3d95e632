"""What vLLM's OpenAI server answers and counts: names and shapes of its version 0.11, with no bound on its queue."""

from __future__ import annotations

import json
from typing import Any

from fake_engine.generation import Gauges, Generation, Refusal, Timing
from fake_engine.script import Text, answer_to, fitting, json_text, pieces_of, resolved, text_of

MAX_MODEL_LENGTH = 4096
MAX_LOGPROBS = 20
"""--max-logprobs of vLLM 0.29, where it is not given."""
TOKENS_PER_SLOT = 1024
"""KV memory: so many tokens for each slot."""
_REASONS = {"stop": "stop", "length": "length", "stop_sequence": "stop"}


def _error(status: int, message: str, kind: str) -> Refusal:
    return Refusal(status, json_text({"error": {"message": message, "type": kind, "param": None, "code": status}}))


class Vllm:
    """Refuses before a stream begins; names of models are checked; an aborted request leaves the queue at once."""

    keeps_aborted = False
    refuses_in_stream = False
    default_limit: int | None = None

    def __init__(self, model: str, limit: int | None) -> None:
        self._model = model

    def read(self, path: str, raw: bytes) -> Generation:
        try:
            body: dict[str, Any] = json.loads(raw)
        except ValueError:
            raise _error(400, "JSON decode error", "BadRequestError") from None
        chat = path == "/v1/chat/completions"
        if body.get("model") not in (None, self._model):
            raise _error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        prompt, prompt_tokens = _prompt(body, chat)
        max_tokens = body.get("max_completion_tokens") or body.get("max_tokens") or (None if chat else 16)
        _check(body, prompt_tokens, max_tokens)
        stop = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or ()
        tool, text = _answer(body, prompt, max_tokens, stop)
        return Generation(
            chat=chat,
            stream=bool(body.get("stream")),
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            model=self._model,
            text=text,
            prompt_tokens=prompt_tokens,
            characters=len(prompt),
            max_tokens=MAX_MODEL_LENGTH - prompt_tokens if max_tokens is None else max_tokens,
            tool=tool,
            logprobs=(body.get("top_logprobs") or 0) if chat and body.get("logprobs") else None,
        )

    def overload(self) -> Refusal:
        return _error(503, "The server is overloaded", "ServiceUnavailableError")

    def refusal_event(self, refusal: Refusal) -> bytes:
        return f"data: {refusal.body}\n\ndata: [DONE]\n\n".encode()

    def whole(self, generation: Generation, timing: Timing) -> tuple[str, str]:
        written = "".join(generation.text.pieces)
        choice: dict[str, Any] = {"index": 0}
        if generation.chat:
            message: dict[str, Any] = {"role": "assistant", "content": written, "refusal": None, "tool_calls": []}
            if generation.tool is not None:
                function = {"name": generation.tool, "arguments": written}
                call = {"id": "chatcmpl-tool-1", "type": "function", "function": function}
                message |= {"content": None, "tool_calls": [call]}
            choice["message"] = message
        else:
            choice["text"] = written
        logprobs = None if generation.logprobs is None else {"content": _logprobs(generation)}
        choice |= {"logprobs": logprobs, "finish_reason": _reason(generation), "stop_reason": None}
        kind = "chat.completion" if generation.chat else "text_completion"
        body = self._head(generation, timing.created, kind) | {"choices": [choice], "usage": generation.usage}
        return "", json_text(body)

    def stream_headers(self, generation: Generation) -> str:
        return ""

    def opening(self, generation: Generation, created: int) -> bytes:
        return self._delta(generation, created, {"role": "assistant", "content": ""}) if generation.chat else b""

    def event(self, generation: Generation, created: int, token: int) -> bytes:
        piece = generation.text.pieces[token - 1]
        if not generation.chat:
            return self._piece(generation, created, {"text": piece}, None)
        if generation.tool is None:
            return self._delta(generation, created, {"content": piece})
        call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
        if token == 1:
            call |= {"id": "chatcmpl-tool-1", "type": "function"}
            call["function"]["name"] = generation.tool
        return self._delta(generation, created, {"tool_calls": [call]})

    def closing(self, generation: Generation, created: int) -> list[bytes]:
        last: dict[str, Any] = {"delta": {"content": ""}} if generation.chat else {"text": ""}
        events = [self._piece(generation, created, last, _reason(generation))]
        if generation.include_usage:
            kind = "chat.completion.chunk" if generation.chat else "text_completion"
            body = self._head(generation, created, kind) | {"choices": [], "usage": generation.usage}
            events.append(f"data: {json_text(body)}\n\n".encode())
        return [*events, b"data: [DONE]\n\n"]

    def _head(self, generation: Generation, created: int, kind: str) -> dict[str, Any]:
        name = "chatcmpl-1" if generation.chat else "cmpl-1"
        return {"id": name, "object": kind, "created": created, "model": generation.model}

    def _delta(self, generation: Generation, created: int, delta: dict[str, Any]) -> bytes:
        return self._piece(generation, created, {"delta": delta}, None)

    def _piece(self, generation: Generation, created: int, part: dict[str, Any], reason: str | None) -> bytes:
        kind = "chat.completion.chunk" if generation.chat else "text_completion"
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": reason}
        return f"data: {json_text(self._head(generation, created, kind) | {'choices': [choice]})}\n\n".encode()

    def metrics(self, gauges: Gauges) -> str:
        share = gauges.reserved_tokens / (gauges.slots * TOKENS_PER_SLOT)
        labels = f'{{engine="0",model_name="{self._model}"}}'
        rows = (
            ("num_requests_running", "gauge", gauges.running),
            ("num_requests_waiting", "gauge", gauges.queued),
            ("kv_cache_usage_perc", "gauge", min(1.0, share)),
            ("generation_tokens_total", "counter", gauges.tokens_made),
            ("request_success_total", "counter", gauges.succeeded),
        )
        return "".join(f"# TYPE vllm:{name} {kind}\nvllm:{name}{labels} {float(n)}\n" for name, kind, n in rows)

    def models(self) -> dict[str, object]:
        model = {"id": self._model, "object": "model", "created": 0, "owned_by": "vllm"}
        return {"object": "list", "data": [model | {"max_model_len": MAX_MODEL_LENGTH}]}

    def info(self) -> dict[str, object] | None:
        return None

    def tokenize(self, raw: bytes) -> object:
        body = json.loads(raw)
        _, count = _prompt(body, "messages" in body)
        tokens = list(range(294, 294 + count))
        return {"count": len(tokens), "max_model_len": MAX_MODEL_LENGTH, "tokens": tokens, "token_strs": None}


def _prompt(body: dict[str, Any], chat: bool) -> tuple[str, int]:
    if chat:
        texts = [text_of(message.get("content")) for message in body.get("messages", [])]
        return (texts[-1] if texts else ""), 3 + sum(4 + len(pieces_of(text)) for text in texts)
    prompt = body["prompt"][0] if isinstance(body.get("prompt"), list) else body.get("prompt", "")
    return prompt, 1 + len(pieces_of(prompt))


def _logprobs(generation: Generation) -> list[dict[str, object]]:
    """Made up; the fields of ChatCompletionLogProbsContent (vllm/entrypoints/openai/chat_completion/protocol.py)."""
    rows: list[dict[str, object]] = []
    for piece in generation.text.pieces:
        others = [piece, *(f"other{number}" for number in range(1, generation.logprobs or 0))]
        top = [
            {"token": other, "logprob": -0.01 - 1.5 * rank, "bytes": list(other.encode())}
            for rank, other in enumerate(others)
        ]
        rows.append({**top[0], "top_logprobs": top if generation.logprobs else []})
    return rows


def _check(body: dict[str, Any], prompt_tokens: int, max_tokens: int | None) -> None:
    """
    Raises:
        Refusal: a value out of its range.
    """
    top_p = body.get("top_p")
    if top_p is not None and not 0 < top_p <= 1:
        raise _error(400, f"top_p must be in (0, 1], got {top_p}.", "BadRequestError")
    if body.get("max_tokens") == 0:
        raise _error(400, "max_tokens must be at least 1, got 0.", "BadRequestError")
    if (wanted := body.get("top_logprobs") or 0) > MAX_LOGPROBS:
        line = f"Requested sample logprobs of {wanted}, which is greater than max allowed: {MAX_LOGPROBS}"
        raise _error(400, line, "BadRequestError")
    if prompt_tokens + (max_tokens or 0) > MAX_MODEL_LENGTH:
        line = f"This model's maximum context length is {MAX_MODEL_LENGTH} tokens."
        raise _error(400, line, "BadRequestError")


def _answer(
    body: dict[str, Any], prompt: str, max_tokens: int | None, stop: list[str] | tuple[()]
) -> tuple[str | None, Text]:
    tools, choice = body.get("tools"), body.get("tool_choice") or "auto"
    if not tools or choice == "none":
        return None, answer_to(prompt, max_tokens, stop, _constrained(body.get("response_format")))
    functions = [tool["function"] for tool in tools]
    wanted = choice["function"]["name"] if isinstance(choice, dict) else functions[0]["name"]
    function = next((function for function in functions if function["name"] == wanted), None)
    if function is None:
        raise _error(400, f"Tool '{wanted}' has not been passed in `tools`.", "BadRequestError")
    arguments = json_text(fitting(resolved(function.get("parameters") or {"type": "object"})))
    return wanted, answer_to(prompt, max_tokens, stop, arguments)


def _constrained(form: dict[str, Any] | None) -> str | None:
    match form:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return json_text(fitting(resolved(schema)))
        case {"type": "json_object"}:
            return '{"answer":"fox"}'
        case _:
            return None


def _reason(generation: Generation) -> str:
    return "tool_calls" if generation.tool is not None else _REASONS[generation.text.reason]
