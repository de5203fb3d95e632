"""One pod: routes, the limit of the engine, the failures that are switched on, and what it counts."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, replace
from typing import Any

from fake_engine.connection import Exchange
from fake_engine.generation import JSON, PLAIN, Dialect, Gauges, Generation, Refusal, Timing
from fake_engine.script import json_text
from fake_engine.slots import Job, Slots

GENERATING = ("/v1/chat/completions", "/v1/completions")
REMEMBERED = 200


@dataclass(frozen=True)
class Switches:
    """How it fails, until told otherwise by POST ``/_control``."""

    refuse: int | None = None
    """A status that every request for text gets."""
    hang: bool = False
    """Requests for text are accepted and never answered."""
    drop: bool = False
    """Requests for text get a closed connection."""
    cut_after: int | None = None
    """Streams break off after so many tokens."""
    overload: bool = False
    """Requests for text are answered as by an engine that is full."""
    metrics: str = "ok"
    """ok, hang, 500, renamed (each series has another name) or empty."""
    health: str = "ok"
    """ok, hang or 500."""


class Engine:
    """Answers exchanges. ``limit`` is of requests at once, running and waiting; None: no bound."""

    def __init__(self, slots: Slots, slot_count: int, dialect: Dialect, limit: int | None) -> None:
        self._slots = slots
        self._slot_count = slot_count
        self._dialect = dialect
        self._limit = limit
        self._switches = Switches()
        self._asked: deque[Exchange] = deque(maxlen=REMEMBERED)
        self._count: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._hung: set[Exchange] = set()

    def handle(self, exchange: Exchange) -> None:
        match exchange.method, exchange.path:
            case "POST", path if path in GENERATING:
                self._generate(exchange)
            case (("GET" | "POST"), "/_control"):
                self._control(exchange)
            case "GET", "/metrics":
                self._metrics(exchange)
            case "GET", "/health" | "/ping" | "/":
                self._health(exchange)
            case "GET", "/v1/models":
                exchange.respond(200, json_text(self._dialect.models()), JSON)
            case "POST", "/tokenize":
                self._tokenize(exchange)
            case "GET", "/info" if (info := self._dialect.info()) is not None:
                exchange.respond(200, json_text(info), JSON)
            case _, path if path in (*GENERATING, "/tokenize", "/metrics", "/health", "/v1/models"):
                exchange.respond(405)
            case _:
                exchange.respond(404)

    def _generate(self, exchange: Exchange) -> None:
        self._asked.append(exchange)
        if self._misbehaves(exchange):
            return
        try:
            generation = self._dialect.read(exchange.path, exchange.body)
        except Refusal as unread:
            exchange.respond(unread.status, unread.body, unread.content_type)
            return
        refusal = self._turned_away(generation)
        if refusal is not None and generation.stream and self._dialect.refuses_in_stream:
            exchange.begin_stream(self._dialect.stream_headers(generation))
            exchange.send_event(self._dialect.refusal_event(refusal))
            exchange.end_stream()
        elif refusal is not None:
            exchange.respond(refusal.status, refusal.body, refusal.content_type)
        else:
            Answer(self, exchange, generation).start()

    def _turned_away(self, generation: Generation) -> Refusal | None:
        """The limit is looked at before what is asked."""
        self._count["requests"] += 1
        self._count["chats"] += generation.chat
        if self._switches.overload or (self._limit is not None and self._slots.live >= self._limit):
            self._failed["overloaded"] += 1
            return self._dialect.overload()
        if generation.invalid is not None:
            self._failed["validation"] += 1
        return generation.invalid

    def _misbehaves(self, exchange: Exchange) -> bool:
        switches = self._switches
        if switches.drop:
            exchange.drop()
        elif switches.hang:
            self._hang(exchange)
        elif switches.refuse is not None:
            body = json_text({"error": "told to refuse", "error_type": "refused"})
            exchange.respond(switches.refuse, body, JSON)
        return switches.drop or switches.hang or switches.refuse is not None

    def _hang(self, exchange: Exchange) -> None:
        self._hung.add(exchange)

        def gone() -> None:
            self._hung.discard(exchange)
            self._count["aborted"] += 1

        exchange.on_gone = gone

    def _behave(self, exchange: Exchange, how: str) -> bool:
        """Whether ``how`` took the answer over."""
        if how == "500":
            exchange.respond(500, "told to fail", PLAIN)
        return how in ("hang", "500")

    def _health(self, exchange: Exchange) -> None:
        if not self._behave(exchange, self._switches.health):
            exchange.respond(200)

    def _metrics(self, exchange: Exchange) -> None:
        how = self._switches.metrics
        if self._behave(exchange, how):
            return
        text = "" if how == "empty" else self._dialect.metrics(self._gauges())
        if how == "renamed":
            text = text.replace("tgi_", "tgi_new_").replace("vllm:", "vllm:new_")
        exchange.respond(200, text, PLAIN)

    def _gauges(self) -> Gauges:
        return Gauges(
            queued=len(self._slots.waiting),
            running=len(self._slots.running),
            slots=self._slot_count,
            reserved_tokens=self._slots.reserved,
            steps=int(self._slots.steps()),
            tokens_made=int(self._slots.tokens_made()),
            requests=self._count["requests"],
            chats=self._count["chats"],
            succeeded=self._count["served"],
            answered_tokens=self._count["tokens_served"],
            failed=dict(self._failed),
        )

    def _tokenize(self, exchange: Exchange) -> None:
        try:
            tokens = self._dialect.tokenize(exchange.body)
        except (ValueError, KeyError, TypeError):
            exchange.respond(422, "Failed to deserialize the JSON body into the target type", PLAIN)
            return
        exchange.respond(200, json_text(tokens), JSON)

    def _control(self, exchange: Exchange) -> None:
        """POST switches, GET shows; both answer switches and counters."""
        if exchange.method == "POST":
            wanted = json.loads(exchange.body or b"{}")
            if "speed" in wanted:
                self._slots.speed = float(wanted.pop("speed"))
            try:
                self._switches = replace(self._switches, **wanted)
            except TypeError as error:
                exchange.respond(400, str(error), PLAIN)
                return
        exchange.respond(200, json_text(self._report()), JSON)

    def _report(self) -> dict[str, Any]:
        return {
            "served": self._count["served"],
            "aborted": self._count["aborted"],
            "requests_seen": self._count["requests"],
            "tokens_served": self._count["tokens_served"],
            "running": len(self._slots.running),
            "waiting": len(self._slots.waiting),
            "max_running": self._slots.max_running,
            "max_seen_queue": self._slots.max_waiting,
            "speed": self._slots.speed,
            "switches": asdict(self._switches),
            "requests": [_remembered(exchange) for exchange in self._asked],
        }

    def cut_after(self) -> int | None:
        return self._switches.cut_after

    def submit(self, job: Job) -> None:
        self._slots.submit(job)

    def abort(self, job: Job) -> None:
        self._slots.abort(job)

    def aborted(self) -> None:
        self._count["aborted"] += 1
        self._failed["dropped"] += 1

    def served(self, tokens: int) -> None:
        self._count["served"] += 1
        self._count["tokens_served"] += tokens

    @property
    def dialect(self) -> Dialect:
        return self._dialect


class Answer:
    """One generation from its place in the queue to its last byte."""

    def __init__(self, engine: Engine, exchange: Exchange, generation: Generation) -> None:
        self._engine = engine
        self._exchange = exchange
        self._generation = generation
        self._created = int(time.time())
        tokens = len(generation.text.pieces)
        streams = generation.stream and generation.unusable is None
        self._job = Job(
            tokens,
            generation.prompt_tokens + generation.max_tokens,
            on_done=self._end_stream if generation.stream else self._respond,
            on_token=self._send if streams else None,
        )

    def start(self) -> None:
        self._exchange.on_gone = self._gone
        if self._generation.stream:
            self._exchange.begin_stream(self._engine.dialect.stream_headers(self._generation))
            if opening := self._engine.dialect.opening(self._generation, self._created):
                self._exchange.send_event(opening)
        self._engine.submit(self._job)

    def _gone(self) -> None:
        self._engine.aborted()
        self._engine.abort(self._job)

    def _send(self, token: int) -> None:
        self._exchange.send_event(self._engine.dialect.event(self._generation, self._created, token))
        if token == self._engine.cut_after():
            self._exchange.drop()
            self._engine.abort(self._job)

    def _end_stream(self) -> None:
        generation, dialect = self._generation, self._engine.dialect
        if generation.unusable is not None:
            self._exchange.send_event(dialect.refusal_event(generation.unusable))
        else:
            for event in dialect.closing(generation, self._created):
                self._exchange.send_event(event)
        self._served()
        self._exchange.end_stream()

    def _respond(self) -> None:
        generation, job = self._generation, self._job
        self._served()
        if generation.unusable is not None:
            self._exchange.respond(generation.unusable.status, generation.unusable.body, JSON)
            return
        ended = asyncio.get_running_loop().time()
        timing = Timing(self._created, job.started_at - job.queued_at, ended - job.started_at)
        headers, body = self._engine.dialect.whole(generation, timing)
        self._exchange.respond(200, body, JSON, headers)

    def _served(self) -> None:
        self._engine.served(len(self._generation.text.pieces))


def _remembered(exchange: Exchange) -> dict[str, Any]:
    try:
        body = json.loads(exchange.body)
    except ValueError:
        body = None
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in exchange.headers}
    return {"path": exchange.path, "headers": headers, "json": body}
