"""What an engine answers on the chat route, read defensively: whole, or as server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from recsys_gateway.serving.failures import UpstreamInvalid, UpstreamUnavailable

MAX_EVENT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TokenUsage:
    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. ``finish_reason`` is ``length`` where the budget of tokens cut it."""

    text: str
    finish_reason: str | None
    usage: TokenUsage


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What an answer may begin with: tokens as text and their log-probabilities, the most likely first."""

    log_probabilities: tuple[tuple[str, float], ...]
    usage: TokenUsage


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a streamed answer; the last ones carry ``finish_reason`` and ``usage``."""

    text: str = ""
    finish_reason: str | None = None
    usage: TokenUsage | None = None


class StreamFailed(Exception):
    """An event of the stream is an error. ``body`` is the event's text."""

    def __init__(self, body: str) -> None:
        super().__init__("the engine reported an error in its stream")
        self.body = body


def parse_json(text: str | bytes) -> object:
    """``text`` as JSON.

    Raises:
        UpstreamInvalid: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UpstreamInvalid("the engine's answer is not JSON") from None


def parse_completion(body: object) -> Completion:
    """A ``chat.completion`` object.

    Raises:
        UpstreamInvalid: it is none.
    """
    match body:
        case {"choices": [{"message": {"content": str(text)}, **choice}, *_]}:
            reason = choice.get("finish_reason")
            return Completion(text, reason if isinstance(reason, str) else None, parse_usage(body))
        case _:
            raise UpstreamInvalid("the engine's answer has no choices[0].message.content")


def parse_first_token(body: object) -> FirstToken:
    """The alternatives of the first token of a ``chat.completion`` object that was asked for them.

    Log-probabilities that are no finite number, as some engines send for what a filter has ruled out, are left out.

    Raises:
        UpstreamInvalid: it holds none.
    """
    match body:
        case {"choices": [{"logprobs": {"content": [{"top_logprobs": [_, *_] as told}, *_]}}, *_]}:
            pass
        case _:
            raise UpstreamInvalid("the engine's answer has no choices[0].logprobs.content[0].top_logprobs")
    found = []
    for each in told:
        match each:
            case {"token": str(token), "logprob": int() | float() as log_probability} if math.isfinite(log_probability):
                found.append((token, float(log_probability)))
    if not found:
        raise UpstreamInvalid("the engine's answer tells no log-probability that is a number")
    return FirstToken(tuple(sorted(found, key=lambda each: -each[1])), parse_usage(body))


def parse_usage(body: object) -> TokenUsage:
    """The usage that an answer states; zero where it states none."""
    match body:
        case {"usage": {"prompt_tokens": int(prompt), "completion_tokens": int(completion)}}:
            return TokenUsage(prompt, completion)
        case _:
            return TokenUsage()


def parse_chunk(body: object) -> Part:
    """A ``chat.completion.chunk`` object; a chunk that says nothing (a role, a thought) is an empty part."""
    usage = parse_usage(body)
    stated = usage if usage != TokenUsage() else None
    match body:
        case {"choices": [{"delta": {"content": str(text)}, **choice}, *_]}:
            reason = choice.get("finish_reason")
        case {"choices": [{**choice}, *_]}:
            text, reason = "", choice.get("finish_reason")
        case _:
            text, reason = "", None
    return Part(text, reason if isinstance(reason, str) else None, stated)


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The ``data`` of each server-sent event. Chunks may be cut anywhere; comments and other fields are skipped.

    Raises:
        UpstreamInvalid: an event is longer than a mebibyte.
    """
    buffer = b""
    data: list[str] = []
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) > MAX_EVENT_BYTES:
            raise UpstreamInvalid("an event of the engine's stream is too long")
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            stripped = line.rstrip(b"\r")
            if not stripped and data:
                yield "\n".join(data)
                data = []
            elif stripped.startswith(b"data:"):
                data.append(stripped[5:].removeprefix(b" ").decode(errors="replace"))
            elif stripped.startswith(b"error:"):  # llama.cpp's older way of failing inside a stream
                raise StreamFailed(stripped[6:].decode(errors="replace"))


async def read_parts(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Part, None]:
    """The parts of a streamed chat completion, up to ``[DONE]``.

    Raises:
        StreamFailed: the engine sent an error event.
        UpstreamUnavailable: the stream ended without ``[DONE]`` and without a finish reason.
        UpstreamInvalid: an event is no JSON.
    """
    finished = False
    async for data in read_events(chunks):
        if data.strip() == "[DONE]":
            if not finished:
                raise UpstreamUnavailable("the engine ended its stream without a finish reason")
            return
        body = parse_json(data)
        if isinstance(body, dict) and body.get("error"):
            raise StreamFailed(data)
        part = parse_chunk(body)
        finished = finished or part.finish_reason is not None
        yield part
    if not finished:
        raise UpstreamUnavailable("the engine's stream broke off")
