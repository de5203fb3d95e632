"""What a dialect reads out of a request, and what it says instead of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fake_engine.script import Text

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, body: str, content_type: str = JSON) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.content_type = content_type


@dataclass(frozen=True)
class Generation:
    """One request for text. ``tool`` is the function whose arguments the text is."""

    chat: bool
    stream: bool
    include_usage: bool
    model: str
    text: Text
    prompt_tokens: int
    characters: int
    max_tokens: int
    tool: str | None = None
    logprobs: int | None = None
    """How many alternatives to each token are wanted; None: no log-probabilities."""
    invalid: Refusal | None = None
    """Why it is refused once it is let in; an overloaded engine does not come so far."""
    unusable: Refusal | None = None
    """Why the text, once made, is no answer."""

    @property
    def usage(self) -> dict[str, int]:
        made = self.text.tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }


@dataclass(frozen=True)
class Timing:
    """Of one answer, in seconds."""

    created: int
    queued: float
    ran: float


@dataclass(frozen=True)
class Gauges:
    """What the metrics show. ``queued`` counts what the engine counts, aborted requests included for TGI."""

    queued: int
    running: int
    slots: int
    reserved_tokens: int
    steps: int
    tokens_made: int
    requests: int
    chats: int
    succeeded: int
    answered_tokens: int
    failed: dict[str, int]


class Dialect(Protocol):
    """How one kind of engine reads requests and says things."""

    keeps_aborted: bool
    refuses_in_stream: bool
    default_limit: int | None
    """Requests at once, running and waiting; None: no bound."""

    def read(self, path: str, raw: bytes) -> Generation: ...
    def overload(self) -> Refusal: ...
    def refusal_event(self, refusal: Refusal) -> bytes: ...
    def whole(self, generation: Generation, timing: Timing) -> tuple[str, str]:
        """Extra header lines and the body."""
        ...

    def stream_headers(self, generation: Generation) -> str: ...
    def opening(self, generation: Generation, created: int) -> bytes: ...
    def event(self, generation: Generation, created: int, token: int) -> bytes:
        """The event of the ``token``-th token, counted from 1."""
        ...

    def closing(self, generation: Generation, created: int) -> list[bytes]:
        """The events after the last token that is seen."""
        ...

    def metrics(self, gauges: Gauges) -> str: ...
    def models(self) -> dict[str, object]: ...
    def info(self) -> dict[str, object] | None:
        """None: the engine has no such route."""
        ...

    def tokenize(self, raw: bytes) -> object: ...
