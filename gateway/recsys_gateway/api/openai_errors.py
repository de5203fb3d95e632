"""Errors as OpenAI's clients expect them: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import Send

from recsys_gateway.api.problems import Problem
from recsys_gateway.serving.admission.outcomes import HTTP, Outcome
from recsys_gateway.serving.failures import UpstreamError

OPENAI_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/embeddings")
MAX_SAID = 2000
_UNFORESEEN = (500, "api_error", "internal", "an unforeseen error; the log has it by request id")


class ApiError(Exception):
    """An error that the client is told. ``param`` is the field that is wrong."""

    def __init__(
        self,
        status: int,
        kind: str,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param, self.headers = status, kind, code, param, headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def event(self) -> bytes:
        """As the last event of a stream that has begun."""
        return f"data: {json.dumps(self.body())}\n\n".encode()

    async def send(self, send: Send) -> None:
        content = json.dumps(self.body()).encode()
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request cannot be meant so."""
    return ApiError(400, "invalid_request_error", code, message, param=param)


def unforeseen() -> ApiError:
    return ApiError(*_UNFORESEEN)


def of_upstream(error: UpstreamError) -> ApiError:
    """By the table of outcomes; what an engine itself refused keeps its status and what it said."""
    end = HTTP.get(error.outcome)
    if error.said is not None and (error.outcome is Outcome.REFUSED or end is None):
        return _said(error.said.status, error.said.body)
    if end is None:
        return unforeseen()
    headers = {"retry-after": str(error.retry_after)} if end.retry else {}
    return ApiError(end.status, end.kind, end.code, end.message, headers=headers)


def of_problem(problem: Problem) -> ApiError:
    """The same error, said as these routes say it."""
    status = int(problem.status)
    kind = "invalid_request_error" if status < 500 else "service_unavailable" if status == 503 else "api_error"
    param = problem.errors[0]["path"] if problem.errors else None
    return ApiError(status, kind, problem.code, problem.detail, param=param, headers=problem.headers)


def _said(status: int, body: bytes) -> ApiError:
    """Engines have shapes of their own: OpenAI's, ``{error, error_type}`` of TGI, ``{message, …}``, or plain text."""
    text = body.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    match said:
        case {"error": {"message": str(message), **rest}}:
            kind, code, param = rest.get("type"), rest.get("code"), rest.get("param")
        case {"error": str(message), **rest}:
            kind, code, param = None, rest.get("error_type"), None
        case {"message": str(message), **rest}:
            kind, code, param = rest.get("type"), rest.get("code"), rest.get("param")
        case _:
            message, kind, code, param = text, None, None, None
    return ApiError(
        status,
        kind if isinstance(kind, str) else "invalid_request_error",
        code if isinstance(code, str) else None,
        message.strip()[:MAX_SAID] or "the engine refused the request",
        param=param if isinstance(param, str) else None,
    )
