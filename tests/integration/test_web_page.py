"""How the page at ``/`` is served: types, policy, caching, HEAD. What it does is seen in tests/browser."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from running_gateway import configuration, running_gateway

NOBODY = "http://127.0.0.1:9"
PARTS = {
    "/": "text/html; charset=utf-8",
    "/page/page.css": "text/css; charset=utf-8",
    "/page/page.js": "text/javascript; charset=utf-8",
    "/page/asking.js": "text/javascript; charset=utf-8",
    "/page/words.js": "text/javascript; charset=utf-8",
    "/page/icon.svg": "image/svg+xml",
    "/page/settings.json": "application/json",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]) -> Iterator[str]:
    """A gateway whose store and engines are away, with keys: the page does not need any of them."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "keys").mkdir()
    (folder / "keys" / "shop").write_text("secret")
    config = configuration(NOBODY, NOBODY, NOBODY, size=7) | {"auth": {"keysDirectory": str(folder / "keys")}}
    with running_gateway(config, port(), folder) as (address, _log):
        yield address


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    content: bytes


def fetched(url: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


@pytest.mark.parametrize(("path", "media_type"), PARTS.items())
def test_every_part_has_its_type_and_is_asked_about_again(url: str, path: str, media_type: str) -> None:
    whole = fetched(url + path)
    assert whole.status == 200
    assert whole.headers["content-type"] == media_type
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["cache-control"] == "no-cache"
    head = fetched(url + path, "HEAD")
    assert (head.content, int(head.headers["content-length"])) == (b"", len(whole.content))
    known = fetched(url + path, if_none_match=f'"other", W/{whole.headers["etag"]}')
    assert (known.status, known.content, known.headers["etag"]) == (304, b"", whole.headers["etag"])


def test_nothing_inline_and_nothing_from_elsewhere(url: str) -> None:
    page = fetched(url + "/")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    html = page.content.decode()
    assert not re.search(r"\son\w+=|style=|<style|<script[^>]*>[^<]", html)
    named = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert {f"/{name}" for name in named} <= PARTS.keys()


def test_the_settings_say_what_the_controls_offer_and_no_more(url: str) -> None:
    assert json.loads(fetched(url + "/page/settings.json").content) == {
        "keys": True,
        "k": 7,
        "lambda": 0.45,
        "target_ild": None,
        "mode": "ToolCall",
        "modes": ["ToolCall", "Verbalizer", "ItemTokens"],
    }


def test_the_routes_of_the_api_keep_their_keys(url: str) -> None:
    assert fetched(url + "/v1/items/A").status == 401


@pytest.mark.parametrize("path", ["/page/", "/page/ask.html", "/page/none.js", "/page/..%2fapp.py", "/page/%00"])
def test_there_is_nothing_else(url: str, path: str) -> None:
    missing = fetched(url + path)
    assert missing.status == 404
    assert missing.headers["content-type"] == "application/problem+json"


def test_the_page_cannot_be_written(url: str) -> None:
    assert fetched(url + "/", "POST").status == 405


def test_a_gateway_without_recommendation_has_a_page_of_its_own(tmp_path: Path, port: Callable[[], int]) -> None:
    config = {"models": configuration(NOBODY, NOBODY, NOBODY)["models"]}
    with running_gateway(config, port(), tmp_path) as (url, _log):
        assert "recommends nothing" in fetched(url + "/").content.decode()
        assert fetched(url + "/page/settings.json").status == 404
