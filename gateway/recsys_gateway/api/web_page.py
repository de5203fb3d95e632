"""The page at ``/``: files of the folder ``page``, and what it must know of this gateway to show the right controls.

Without keys, as it holds nothing: all that it shows comes from the routes under ``/v1``, which keep theirs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from recsys_gateway.api.problems import Problem
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.config import RankingMode, Role
from recsys_gateway.recommend.recommender import Recommender

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no text that becomes markup: titles of items are anybody's."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
"""``no-cache``: kept, and asked about each time, so that a page of one release never runs scripts of another."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_READING = ["GET", "HEAD"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class PageFile:
    """What is sent under one address; ``tag`` changes with the content."""

    content: bytes
    media_type: str
    tag: str


def _page_file(name: str, content: bytes) -> PageFile:
    return PageFile(content, _TYPES[Path(name).suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


_FILES = {path.name: _page_file(path.name, path.read_bytes()) for path in Path(__file__).with_name("page").iterdir()}


@router.api_route("/", methods=_READING)
async def page(request: Request) -> Response:
    """A page to ask on; where nothing is recommended, one that says what this gateway does."""
    runtime: Runtime = request.app.state.runtime
    return _sent(_FILES["ask.html" if runtime.recommender else "models.html"], request)


@router.api_route("/page/settings.json", methods=_READING)
async def settings(request: Request) -> Response:
    """What the controls of the page offer and start from."""
    runtime: Runtime = request.app.state.runtime
    if runtime.recommender is None:
        raise _no_such_part()
    offered = page_settings(runtime.recommender, tuned=runtime.config.model(Role.TUNED) is not None)
    body = {"keys": runtime.config.auth is not None, **offered}
    return _sent(_page_file("settings.json", json.dumps(body).encode()), request)


@router.api_route("/page/{name}", methods=_READING)
async def part(name: str, request: Request) -> Response:
    """A style, a script or a picture of the page."""
    if name not in _FILES or name.endswith(".html"):
        raise _no_such_part()
    return _sent(_FILES[name], request)


def page_settings(recommender: Recommender, *, tuned: bool) -> dict[str, object]:
    """The defaults of a request; ``modes`` are those that the tuned model is able to, none where there is no model."""
    defaults = recommender.settings
    return {
        "k": defaults.size,
        "lambda": defaults.diversity.mmr_lambda,
        "target_ild": defaults.diversity.target_ild,
        "mode": defaults.mode,
        "modes": [mode for mode in RankingMode if tuned and recommender.refusal(mode) is None],
    }


def _sent(file: PageFile, request: Request) -> Response:
    """200, or 304 where the browser holds it already. The server leaves the body of a HEAD out."""
    headers = {**HEADERS, "etag": file.tag}
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.tag in held:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _no_such_part() -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "not_found", "the page has no such part")
