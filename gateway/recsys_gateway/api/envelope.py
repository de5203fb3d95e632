"""Around every request: its id, its line in the log, its metrics, the limit of its body, the last net for errors."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys_gateway.api.problems import of_http, unforeseen
from recsys_gateway.telemetry import Metrics, request_id

MAX_BODY_BYTES = 1 << 20

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Exchange:
    """What is known of an answer while it is being sent. ``outcome`` may be set by a route, before the end."""

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
        return "invalid" if self.status < 500 else "unavailable" if self.status == 503 else "error"


class Envelope:
    """Pure ASGI, so that streams pass through and a client that leaves is noticed."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        current = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(current)
        exchange = Exchange()
        scope.setdefault("state", {})["exchange"] = exchange
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = current
            await send(message)

        try:
            await self._guarded(scope, receive, sending, exchange)
        finally:
            self._note(scope, exchange, time.perf_counter() - started)
            request_id.reset(token)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        try:
            await self._app(scope, _limited(scope, receive), send)
        except HTTPException as error:
            await of_http(error).response()(scope, receive, send)
        except Exception:  # the last net: whatever was not foreseen must not reach the client as a traceback
            log.exception("unforeseen error")
            exchange.outcome = "error"
            if exchange.status == 0:
                await unforeseen().response()(scope, receive, send)

    def _note(self, scope: Scope, exchange: Exchange, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, exchange.label()).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if route not in _QUIET:
            extra = {
                "method": scope["method"] if route != "unmatched" else "-",
                "route": route,
                "status": exchange.status,
                "outcome": exchange.label(),
                "seconds": round(seconds, 4),
            }
            log.info("request", extra=extra)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """``receive`` that refuses a body of more than a mebibyte with 413, whatever its headers say."""
    too_large = HTTPException(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
    if (stated := Headers(scope=scope).get("content-length", "")).isdigit() and int(stated[:20]) > MAX_BODY_BYTES:
        raise too_large
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise too_large
        return message

    return receiving
