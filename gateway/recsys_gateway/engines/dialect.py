"""What the gateway asks of an inference engine, and the differences between engines in saying it.

Every engine here speaks OpenAI's chat route; each differs in how a JSON schema is asked for, which sampling fields it
takes, what an overload looks like and how its tokenizer is reached. A dialect holds those differences and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recsys_gateway.config import EngineType
from recsys_gateway.engines.capabilities import Capabilities
from recsys_gateway.engines.load_metrics import LoadMetrics

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat completion. ``messages`` are (role, content). None leaves the engine's own default.

    ``schema`` is a JSON schema with top-level ``properties`` (TGI refuses others); ``max_tokens`` bounds the answer.
    """

    messages: Sequence[tuple[str, str]]
    max_tokens: int
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    schema: Json | None = None


@dataclass(frozen=True, slots=True)
class ChoiceCall:
    """What the first token of an answer may be: its ``alternatives`` most likely ones with their log-probabilities."""

    messages: Sequence[tuple[str, str]]
    alternatives: int


@dataclass(frozen=True, slots=True)
class TokenizeRoute:
    """Where an engine counts tokens, and how many texts one call may hold."""

    path: str
    texts_per_call: int


class CannotTranslate(Exception):
    """A request that this engine cannot be made to understand. ``param``: the field that it fails by."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class Dialect(Protocol):
    """One engine's way of speaking. ``metrics_path`` and ``load`` are None where the engine has none."""

    engine: EngineType
    health_path: str
    metrics_path: str | None
    load: LoadMetrics | None
    tokenize: TokenizeRoute | None
    capabilities: Capabilities

    def chat_body(self, model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
        """The body of ``POST /v1/chat/completions``."""
        ...

    def translate(self, path: str, body: Json, name: str, *, adapter: bool) -> dict[str, object] | None:
        """A client's request, as OpenAI's API has it, in the words of this engine; None where it is well as it is.

        ``name``: the model, or an adapter of it, by the engine's own name.

        Raises:
            CannotTranslate: the engine could only answer something else than was asked.
        """
        ...

    def tokenize_body(self, texts: Sequence[str]) -> dict[str, object]:
        """The body of a call to ``tokenize`` with at most ``texts_per_call`` texts."""
        ...

    def token_counts(self, answer: object, texts: int) -> list[int]:
        """The number of tokens of each text of a call with so many ``texts``.

        Raises:
            ValueError: the answer is not what this engine sends.
        """
        ...

    def overloaded(self, status: int, body: str) -> bool:
        """Whether an error, of a status line or of an event in a stream (status 200), means: too busy, try later."""
        ...


def openai_chat_body(model: str, call: ChatCall, *, stream: bool) -> dict[str, object]:
    """The fields that every engine takes in the same way; those that are None are left out."""
    fields: dict[str, object | None] = {
        "model": model,
        "messages": [{"role": role, "content": content} for role, content in call.messages],
        "max_tokens": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "seed": call.seed,
        "stream": stream,
        "stream_options": {"include_usage": True} if stream else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def choice_body(dialect: Dialect, model: str, call: ChoiceCall) -> dict[str, object]:
    """The body of ``POST /v1/chat/completions`` that asks for one token and its alternatives: OpenAI's two fields.

    At temperature 0, since some engines tell the log-probabilities after the temperature has been applied.
    """
    body = dialect.chat_body(model, ChatCall(call.messages, max_tokens=1, temperature=0.0), stream=False)
    return {**body, "logprobs": True, "top_logprobs": call.alternatives}


def with_model(body: Json, name: str) -> dict[str, object] | None:
    """The request with the engine's own name of the model; None where it has that already."""
    return None if body.get("model") == name else {**body, "model": name}


def json_schema_format(call: ChatCall) -> dict[str, object]:
    """OpenAI's way of asking for an answer that fits a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": call.schema}}


def no_tokenizer(engine: EngineType) -> ValueError:
    return ValueError(f"{engine} has no route that counts tokens")
