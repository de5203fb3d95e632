"""Errors as RFC 9457 problem details. Nothing of the request's content is repeated, and no traceback leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that the client is told. ``code`` is one of a closed set; ``headers`` go with the answer."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors, self.headers = status, code, detail, errors, headers or {}

    def body(self) -> dict[str, object]:
        """The members of the problem; ``errors`` are the fields that are wrong, with their paths."""
        members: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "code": self.code,
            "detail": self.detail,
        }
        return {**members, "errors": list(self.errors)} if self.errors else members

    def response(self) -> Response:
        # ASCII only: a field's name may hold half of a surrogate pair, which no encoding takes.
        content = json.dumps(self.body(), ensure_ascii=True)
        return Response(content, int(self.status), dict(self.headers), media_type=MEDIA_TYPE)


def unavailable(detail: str, retry_after: int = 2) -> Problem:
    """503: the same request may work in ``retry_after`` seconds."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"retry-after": str(retry_after)})


def unforeseen() -> Problem:
    """500: the log says what happened, under the request's id."""
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "an unforeseen error; the log has it by request id")


def not_json() -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_json", "the body is not JSON that can be read (UTF-8, RFC 8259)")


def of_validation(error: RequestValidationError) -> Problem:
    """422 with the fields' paths; 400 where the body is no JSON at all."""
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return not_json()
    errors = [{"path": _path(each["loc"]), "message": str(each["msg"])} for each in found]
    summary = "; ".join(f"{each['path']}: {each['message']}" for each in errors[:3])
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "validation", summary, errors=errors)


def _path(location: Sequence[object]) -> str:
    """Without the leading ``body``; names that are no fields of ours may be long."""
    return ".".join(str(part)[:80] for part in location[1:]) or str(location[0])


_CODES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "too_slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}


def of_http(error: HTTPException) -> Problem:
    """The problem behind one of Starlette's own errors."""
    status = HTTPStatus(error.status_code)
    return Problem(status, _CODES.get(status, "bad_request"), str(error.detail), headers=error.headers)


def install(app: FastAPI) -> None:
    """Answer every foreseen error of ``app`` with a problem."""

    async def problem(_request: Request, error: Exception) -> Response:
        match error:
            case Problem():
                return error.response()
            case RequestValidationError():
                return of_validation(error).response()
            case HTTPException():
                return of_http(error).response()
        return unforeseen().response()

    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, problem)
