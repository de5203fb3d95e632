"""Around every request: its id, its line in the log, its metrics, the limit of its body, the last net for errors."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from random import getrandbits

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys_gateway.api.openai_errors import OPENAI_PATHS, ApiError
from recsys_gateway.api.problems import Problem, of_http, unforeseen
from recsys_gateway.api.request_terms import header
from recsys_gateway.serving.admission.outcomes import HTTP, Outcome
from recsys_gateway.telemetry import Metrics, request_id
from recsys_gateway.tracing import Tracer

API = "/v1/"
MAX_BODY_BYTES = 1 << 20
MAX_PROMPT_BYTES = 16 << 20
"""Of the routes whose bodies are whole conversations, or batches of a catalogue."""
BODY_SECONDS = 30.0
"""From a request's headers to the end of its body: a client that sends half of it does not hold us for ever."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LARGE = frozenset({*OPENAI_PATHS, "/v1/items:batch", "/v1/events"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What a route that FastAPI does not know puts into ``scope["route"]``: ``path`` is a label, a template."""

    path: str


@dataclass(slots=True)
class Exchange:
    """What is known of an answer while it is being sent. ``outcome`` may be set by a route, before the end."""

    request_id: str = ""
    status: int = 0
    outcome: str = ""

    def label(self) -> str:
        """ok | degraded | invalid | unavailable | error | client_gone: a closed set."""
        if self.outcome:
            return self.outcome
        if self.status == 0:
            return "client_gone"
        if self.status < 400:
            return "ok"
        if self.status in {429, 503}:
            return "unavailable"
        return "invalid" if self.status < 500 else "error"


@dataclass(slots=True)
class Gate:
    """Requests under ``/v1`` that are open. Once ``closed``, none is let in any more."""

    open: int = 0
    closed: bool = False


class Envelope:
    """Pure ASGI, so that streams pass through and a client that leaves is noticed."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer, gate: Gate) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._gate = gate
        self._series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = header(scope["headers"], b"x-request-id")
        current = given if given and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"
        token = request_id.set(current)
        exchange = Exchange(current)
        scope.setdefault("state", {})["exchange"] = exchange
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", current.encode("ascii"))]
            await send(message)

        counted = scope["path"].startswith(API)
        self._gate.open += counted
        try:
            if counted and self._gate.closed:
                await _draining(scope, receive, sending)
            elif self._tracer.on:
                await self._traced(scope, receive, sending)
            else:
                await self._app(scope, _limited(scope, receive), sending)
        except HTTPException as error:
            await of_http(error).response()(scope, receive, sending)
        except Exception:  # the last net: whatever was not foreseen must not reach the client as a traceback
            log.exception("unforeseen error")
            exchange.outcome = "error"
            if exchange.status == 0:
                await unforeseen().response()(scope, receive, sending)
        finally:
            self._gate.open -= counted
            self._note(scope, exchange, time.perf_counter() - started)
            request_id.reset(token)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.request(headers) as name:
            try:
                await self._app(scope, _limited(scope, receive), send)
            finally:
                route = getattr(scope.get("route"), "path", None)
                name(f"{scope['method']} {route}" if route else "unmatched")

    def _of(self, route: str, outcome: str) -> tuple[Counter, Histogram]:
        """Kept: finding a metric by its labels costs more than counting."""
        found = self._series.get((route, outcome))
        if found is None:
            found = self._metrics.requests.labels(route, outcome), self._metrics.request_seconds.labels(route)
            self._series[route, outcome] = found
        return found

    def _note(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        counter, histogram = self._of(route, exchange.label())
        counter.inc()
        histogram.observe(seconds)
        level = _level(route, exchange)
        if log.isEnabledFor(level):
            extra = {
                "method": scope["method"] if route != "unmatched" else "-",
                "route": route,
                "status": exchange.status,
                "outcome": exchange.label(),
                "seconds": round(seconds, 4),
            }
            log.log(level, "request", extra=extra)


def _level(route: str, exchange: Exchange) -> int:
    """What went well on a route of many calls is in the metrics: a line for each would cost as much as the call."""
    if route in _QUIET:
        return logging.DEBUG
    return logging.DEBUG if route in OPENAI_PATHS and exchange.label() == "ok" else logging.INFO


async def _draining(scope: Scope, receive: Receive, send: Send) -> None:
    """As each kind of route says that the gateway is shutting down; the connection ends with it."""
    end = HTTP[Outcome.DRAINING]
    headers = {"retry-after": "1", "connection": "close"}
    if scope["path"].startswith(OPENAI_PATHS):
        await ApiError(end.status, end.kind, end.code, end.message, headers=headers).send(send)
        return
    problem = Problem(HTTPStatus(end.status), end.code, end.message, headers=headers)
    await problem.response()(scope, receive, send)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """``receive`` that refuses a body that is too long with 413, whatever its headers say, and a slow one with 408."""
    bound = MAX_PROMPT_BYTES if scope["path"] in _LARGE else MAX_BODY_BYTES
    stated = header(scope["headers"], b"content-length")
    if stated and stated.isdigit() and int(stated[:20]) > bound:
        raise HTTPException(413, f"the body is longer than {bound} bytes")
    until = asyncio.get_running_loop().time() + BODY_SECONDS
    read, whole = 0, False

    async def receiving() -> Message:
        nonlocal read, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not come within {BODY_SECONDS:g} s") from None
        read += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if read > bound:
            raise HTTPException(413, f"the body is longer than {bound} bytes")
        return message

    return receiving
