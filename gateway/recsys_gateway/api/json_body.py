"""Bodies of JSON: what is not said to be JSON, and what is none, is told apart before any field is looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from recsys_gateway.api.problems import Problem, not_json

_JSON_TYPE = re.compile(r"\s*application/([a-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE | re.ASCII)


class JsonRoute(APIRoute):
    """A route whose request must be JSON: 415 for another media type, 400 for what cannot be parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            await _check(request)
            return await handle(request)

        return checked


async def _check(request: Request) -> None:
    """The parsed body stays with the request: it is not parsed a second time. Without a body there is no type."""
    try:
        if not await request.body():
            return
        if not _JSON_TYPE.fullmatch(request.headers.get("content-type", "")):
            detail = "content-type: application/json is needed"
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        await request.json()
    except ClientDisconnect:
        request.scope["state"]["exchange"].outcome = "client_gone"
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_request", "the body broke off") from None
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number of thousands of digits; nested too deeply
        raise not_json() from None
