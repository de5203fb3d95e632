"""OpenAI's routes as plain ASGI in front of FastAPI: bytes in, bytes out, and as little as possible in between.

A request is parsed once, to know the model and whether the answer is streamed; what the engine understands as it is
goes through unchanged. Answers are never parsed.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from recsys_gateway.api.embeddings import EMBEDDER, embeddings
from recsys_gateway.api.envelope import Exchange, Route
from recsys_gateway.api.openai_errors import ApiError, invalid, of_problem, of_upstream
from recsys_gateway.api.problems import Problem
from recsys_gateway.api.recommender_chat import RECOMMENDER, RecommenderChat
from recsys_gateway.api.request_terms import BadHeader, priority_of, seconds_of
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.engines.dialect import CannotTranslate
from recsys_gateway.serving.balancer import clock
from recsys_gateway.serving.balancing.dispatcher import CallEnd
from recsys_gateway.serving.engine_calls import Terms
from recsys_gateway.serving.failures import UpstreamError
from recsys_gateway.serving.fleet import Asked
from recsys_gateway.serving.open_call import OpenCall
from recsys_gateway.serving.time_limits import sweep

COMPLETIONS = frozenset({"/v1/chat/completions", "/v1/completions"})
EMBEDDINGS = "/v1/embeddings"
MODELS = "/v1/models"
MAX_ANSWER_BYTES = 64 << 20
AFFINITY_CHARACTERS = 512
WATCH_AFTER_SECONDS = 0.02
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ROUTES = {path: Route(path) for path in (*COMPLETIONS, EMBEDDINGS, MODELS)}
_ONE_MODEL = Route("/v1/models/{model}")
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class CompletionRequest(NamedTuple):
    """A request for text. ``raw`` are its original bytes."""

    raw: bytes
    body: dict[str, Any]
    model: str | None
    stream: bool


class OpenAiFront:
    """Pure ASGI: what is not OpenAI's goes on to ``api``, whose state holds the runtime."""

    def __init__(self, api: FastAPI) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path not in _ROUTES and not path.startswith(MODELS + "/"):
            await self._api(scope, receive, send)
            return
        scope["route"] = _ROUTES.get(path, _ONE_MODEL)
        exchange: Exchange = scope["state"]["exchange"]
        watch = None
        try:
            if path.startswith(MODELS):
                await _models(scope, self._api.state.runtime, send)
                return
            _require(scope, "POST")
            body = await _body(receive)
            watch = _ClientWatch(receive)
            await self._post(scope, body, send, exchange)
        except ApiError as error:
            await _fail(error, send, exchange)
        except Problem as problem:
            await _fail(of_problem(problem), send, exchange)
        except UpstreamError as error:
            await _fail(of_upstream(error), send, exchange)
        except asyncio.CancelledError:
            if watch is None or not watch.gone:
                raise
            exchange.outcome = exchange.outcome or "client_gone"
        finally:
            if watch is not None:
                watch.close()

    async def _post(self, scope: Scope, raw: bytes, send: Send, exchange: Exchange) -> None:
        runtime: Runtime = self._api.state.runtime
        request = _parse(raw)
        if scope["path"] == EMBEDDINGS:
            await _send_json(send, await embeddings(runtime, request.body))
            return
        asked = runtime.fleet.find(request.model)
        if asked is not None:
            await self._complete(scope, runtime, asked, request, send, exchange)
        elif request.model == RECOMMENDER and runtime.recommender and scope["path"] == "/v1/chat/completions":
            await RecommenderChat(runtime, runtime.recommender, exchange).answer(scope, request.body, send)
        else:
            raise _unknown_model(request.model, runtime)

    async def _complete(
        self, scope: Scope, runtime: Runtime, asked: Asked, request: CompletionRequest, send: Send, exchange: Exchange
    ) -> None:
        terms = _terms(scope, runtime, request)
        body = _translated(scope["path"], asked, request)
        started = time.perf_counter()
        call = await asked.calls.open(scope["path"], body, terms)
        try:
            if request.stream:
                runtime.metrics.first_token_seconds.observe(time.perf_counter() - started)
                await _relay_stream(call, send, exchange)
            else:
                content = await call.whole(MAX_ANSWER_BYTES)
                call.end(CallEnd.OK)
                kind = call.response.headers.get("content-type", "application/json").encode("latin-1")
                await _send_whole(send, content, kind)
        finally:
            call.end()


async def _relay_stream(call: OpenCall, send: Send, exchange: Exchange) -> None:
    """Piece by piece; what breaks off after the first one ends in an error event."""
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    await send({"type": "http.response.body", "body": call.first, "more_body": True})
    try:
        async for chunk in call.rest():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        call.end(CallEnd.OK)
    except UpstreamError as error:
        exchange.outcome = "error"
        await send({"type": "http.response.body", "body": of_upstream(error).event(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_whole(send: Send, content: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_json(send: Send, content: object) -> None:
    await _send_whole(send, json.dumps(content).encode(), b"application/json")


async def _fail(error: ApiError, send: Send, exchange: Exchange) -> None:
    """An answer that has begun can only break off."""
    if exchange.status == 0:
        await error.send(send)


async def _body(receive: Receive) -> bytes:
    message: Message = await receive()
    if message["type"] == "http.disconnect":
        raise asyncio.CancelledError
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise invalid("the body broke off")
        parts.append(message.get("body", b""))
    return b"".join(parts)


def _parse(raw: bytes) -> CompletionRequest:
    try:
        body = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON that can be read (UTF-8, RFC 8259)", code="invalid_json") from None
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise invalid("model: a string is needed", "model")
    return CompletionRequest(raw, body, model, stream=body.get("stream") is True)


def _translated(path: str, asked: Asked, request: CompletionRequest) -> bytes:
    dialect = asked.calls.dialect
    try:
        changed = dialect.translate(path, request.body, asked.name, adapter=asked.adapter)
    except CannotTranslate as error:
        raise invalid(f"{dialect.engine.value}: {error}", error.param, "unsupported_by_engine") from None
    if changed is None:
        return request.raw
    return _renamed(request, changed) or _ENCODE(changed).encode(errors="replace")


def _renamed(request: CompletionRequest, changed: dict[str, object]) -> bytes | None:
    """The original bytes with another model's name; None where more than that has changed, or where it stands is not
    certain. Inside a JSON string quotes are escaped: what is found unescaped, and once, is the field itself."""
    body = request.body
    if len(changed) != len(body):
        return None
    for key, value in body.items():
        if changed.get(key) is not value and key != "model":
            return None
    for colon in (b'"model":', b'"model": '):
        old = colon + b'"%b"' % str(body.get("model")).encode(errors="replace")
        if request.raw.count(old) == 1 and request.raw.count(b'"model"') == 1:
            return request.raw.replace(old, colon + _ENCODE(changed["model"]).encode(errors="replace"))
    return None


def _terms(scope: Scope, runtime: Runtime, request: CompletionRequest) -> Terms:
    headers = dict(scope["headers"])
    try:
        seconds = seconds_of(headers.get(b"x-request-timeout"), runtime.config.admission.default_timeout_seconds)
        priority = priority_of(headers.get(b"x-priority"))
    except BadHeader as error:
        raise invalid(str(error), code="bad_header") from None
    tenant = scope["state"].get("tenant")
    exchange: Exchange = scope["state"]["exchange"]
    given = headers.get(b"x-session-id")
    session = given.decode("latin-1") if given else request.body.get("user")
    return Terms(
        clock() + seconds,
        request.stream,
        tenant.name if tenant else "",
        priority,
        affinity=str(session or (_prefix(request.body) if runtime.keeps_prefixes else "")),
        sticky=str(session or exchange.request_id),
        headers={"x-request-id": exchange.request_id, **runtime.tracer.headers()}
        if runtime.tracer.on
        else {"x-request-id": exchange.request_id},
    )


def _prefix(body: dict[str, Any]) -> str:
    """What requests with the same system prompt share."""
    messages = body.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else body.get("prompt")
    return json.dumps(first)[:AFFINITY_CHARACTERS] if first is not None else ""


def _unknown_model(name: str | None, runtime: Runtime) -> ApiError:
    known = ", ".join(_names(runtime))
    if name is None:
        return invalid(f"model: one of {known} is needed", "model")
    message = f"the model {name[:200]!r} does not exist; models: {known}"
    return ApiError(404, "invalid_request_error", "model_not_found", message, param="model")


def _names(runtime: Runtime) -> list[str]:
    names = runtime.fleet.names
    if runtime.recommender and RECOMMENDER not in names:
        names.append(RECOMMENDER)
    if runtime.config.embedder and EMBEDDER not in names:
        names.append(EMBEDDER)
    return names


def _require(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        headers = {"allow": method}
        raise ApiError(405, "invalid_request_error", "method_not_allowed", f"{method} is needed", headers=headers)


async def _models(scope: Scope, runtime: Runtime, send: Send) -> None:
    _require(scope, "GET")
    rows = [{"id": name, "object": "model", "created": 0, "owned_by": "recsys"} for name in _names(runtime)]
    if scope["path"] == MODELS:
        await _send_json(send, {"object": "list", "data": rows})
        return
    wanted = scope["path"].removeprefix(MODELS + "/")
    row = next((row for row in rows if row["id"] == wanted), None)
    if row is None:
        raise _unknown_model(wanted, runtime)
    await _send_json(send, row)


class _ClientWatch:
    """Cancels the task that made it once the client has left; ``gone`` says that this is why.

    It begins some milliseconds late: what is answered by then needs no second task.
    """

    __slots__ = ("_receive", "_sweep", "_task", "_worker", "due", "gone")

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self.due = clock() + WATCH_AFTER_SECONDS
        self._receive = receive
        self._worker = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self._sweep = sweep()
        self._sweep.add(self)

    def fire(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._worker is not None:
            self._worker.cancel()

    def close(self) -> None:
        self._sweep.remove(self)
        if self._task is not None:
            self._task.cancel()
