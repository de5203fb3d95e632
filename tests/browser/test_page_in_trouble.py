"""The page before engines that fail and titles that attack: a real gateway on a real Milvus, engines as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status
from scripted_engine import ScriptedEngine

from .conftest import REFUSED, OpenTab, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    '"><svg onload=alert(3)>',
    "<a href='javascript:alert(4)'>click</a>",
    "{{constructor.constructor('alert(5)')()}}",
]
HOSTILE_WORD = "xylophone"


@dataclass(frozen=True)
class Running:
    """A gateway with its engines; ``config`` to start another one beside it."""

    url: str
    tuned: ScriptedEngine
    base: ScriptedEngine
    config: dict[str, Any]
    folder: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    chromium: str, shared_milvus: Any, tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]
) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    await asyncio.to_thread(load_small_shop, shared_milvus.config, folder)
    tuned, base = ScriptedEngine(), ScriptedEngine()
    await tuned.start()
    await base.start()
    config = configuration(str(shared_milvus.config.uri), tuned.url, base.url)
    with running_gateway(config, port(), folder) as (url, _log):
        await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
        yield Running(url, tuned, base, config, folder)
    await tuned.stop()
    await base.stop()


@pytest.fixture
def gateway(running: Running) -> Running:
    """The running gateway, with engines that behave."""
    for engine in (running.tuned, running.base):
        engine.__dict__.update(ScriptedEngine().__dict__ | {"url": engine.url, "_runner": engine._runner})
    return running


async def test_the_list_is_there_before_the_sentence_and_cancel_ends_the_engines_work(
    gateway: Running, open_tab: OpenTab
) -> None:
    gateway.base.hangs = True
    tab = await open_tab(gateway.url)
    await tab.ask("a light jacket", k="3")
    await tab.page.wait_for_selector("#items > li:nth-child(3)")
    assert await tab.text("#status") == "3 items; the sentence is being written…"
    await until(lambda: bool(gateway.base.bodies), "the base model is asked")
    await tab.page.click("text=Cancel")
    assert await tab.text("#status") == "Cancelled."
    assert not await tab.page.is_visible("#cancel")
    assert await tab.page.evaluate("document.activeElement.id") == "query"
    await until(lambda: gateway.base.aborted == 1, "the base model's work ends")


async def test_escape_cancels_and_a_new_question_takes_the_place_of_the_old(
    gateway: Running, open_tab: OpenTab
) -> None:
    tab = await open_tab(gateway.url)
    gateway.tuned.hangs = True
    await tab.ask("a tent")
    await tab.page.wait_for_selector("#cancel")
    await until(lambda: bool(gateway.tuned.bodies), "the tuned model is asked")
    gateway.tuned.hangs = False
    await tab.answer("a light jacket", k="2")
    assert await tab.page.locator("#items > li").count() == 2
    gateway.tuned.hangs = True
    asked = len(gateway.tuned.bodies)
    await tab.ask("a tent")
    await tab.page.wait_for_selector("#cancel")
    await until(lambda: len(gateway.tuned.bodies) > asked, "the tuned model is asked again")
    await tab.page.keyboard.press("Escape")
    assert await tab.text("#status") == "Cancelled."
    await until(lambda: gateway.tuned.aborted == 2, "both calls to the tuned model end")


async def test_what_was_left_out_is_said_in_words_in_both_languages(gateway: Running, open_tab: OpenTab) -> None:
    gateway.tuned.status = 500
    tab = await open_tab(gateway.url)
    await tab.answer("a light jacket")
    assert "the tuned model" in await tab.text("#degraded")
    assert await tab.page.locator("#items > li").count() == 10
    await tab.page.select_option("#page-language", "ko")
    assert "순위: 모델에 연결할 수 없거나 도중에 끊김" in await tab.text("#degraded")


async def test_a_refusal_is_told_in_the_gateways_words_and_may_be_tried_again(
    gateway: Running, open_tab: OpenTab
) -> None:
    tab = await open_tab(gateway.url)
    tab.expected = (REFUSED,)
    await tab.ask("a light jacket", filters="no_such_field=1")
    alert = tab.page.get_by_role("alert")
    await alert.get_by_text("no_such_field").wait_for()
    await tab.page.fill("[name=filters]", "")
    await alert.get_by_role("button", name="Try again").click()
    await tab.page.wait_for_selector("#figures section")
    assert await alert.inner_text() == ""


async def test_a_filter_that_is_none_never_leaves_the_page(gateway: Running, open_tab: OpenTab) -> None:
    tab = await open_tab(gateway.url)
    await tab.ask("a light jacket", filters="cheap")
    await tab.page.get_by_role("alert").get_by_text("“cheap” is not FIELD=VALUE").wait_for()
    assert gateway.tuned.bodies == []


async def test_a_gateway_that_is_gone(gateway: Running, open_tab: OpenTab, port: Callable[[], int]) -> None:
    with running_gateway(gateway.config, port(), gateway.folder) as (url, _log):
        tab = await open_tab(url)
    tab.expected = (REFUSED,)
    await tab.ask("a light jacket")
    await tab.page.get_by_role("alert").get_by_text("The gateway cannot be reached").wait_for()


async def test_an_answer_that_breaks_off(gateway: Running, open_tab: OpenTab) -> None:
    tab = await open_tab(gateway.url)
    half = 'event: items\ndata: {"items": [], "ild": {"cosine": 0, "genre": 0}}\n\nevent: del'

    async def cut(route: Any) -> None:
        await route.fulfill(status=200, content_type="text/event-stream", body=half)

    await tab.page.route("**/v1/recommendations", cut)
    await tab.ask("a light jacket")
    await tab.page.get_by_role("alert").get_by_text("The answer broke off").wait_for()


async def test_who_asks_before_the_settings_came_is_answered(gateway: Running, open_tab: OpenTab) -> None:
    tab = await open_tab(gateway.url)
    may_come = asyncio.Event()

    async def late(route: Any) -> None:
        await may_come.wait()
        await route.continue_()

    await tab.page.route("**/page/settings.json", late)
    await tab.page.reload()
    await tab.page.locator("[name=lambda]").fill("1")
    await tab.answer("a light jacket", k="3")
    may_come.set()
    await tab.settings()
    assert await tab.page.locator("#items > li").count() == 3
    assert await tab.page.input_value("[name=lambda]") == "1"


async def test_markup_in_titles_is_text(gateway: Running, open_tab: OpenTab) -> None:
    items = [
        {"id": f"BAD-{n}", "title": title, "description": HOSTILE_WORD, "categories": [title]}
        for n, title in enumerate(HOSTILE)
    ]
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{gateway.url}/v1/items:batch", json={"items": items}) as response,
    ):
        assert response.status == 200, await response.text()
    gateway.base.story = "I would take [1]. You may also like [2]."
    tab = await open_tab(gateway.url)
    await tab.answer(HOSTILE_WORD)
    shown = await tab.texts("#items h3")
    assert set(HOSTILE) <= set(shown)
    assert await tab.page.evaluate("document.querySelectorAll('main img, main script, main svg, main a').length") == 0
    assert "script-src 'self'" in await _policy(gateway.url)


async def test_a_policy_that_lets_no_markup_through_even_if_the_page_forgot(
    gateway: Running, open_tab: OpenTab
) -> None:
    tab = await open_tab(gateway.url)
    tab.expected = ("This document requires 'TrustedHTML'",)
    refused = "(() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (e) { return e.name; } })()"
    assert await tab.page.evaluate(refused) == "TypeError"


async def test_an_api_key_is_may_come_and_kept_in_the_tab(
    gateway: Running, open_tab: OpenTab, port: Callable[[], int], tmp_path: Path
) -> None:
    (tmp_path / "shop").write_text("secret-of-the-shop\n")
    config = gateway.config | {"auth": {"keysDirectory": str(tmp_path)}}
    with running_gateway(config, port(), gateway.folder) as (url, _log):
        await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
        tab = await open_tab(url)
        tab.expected = (REFUSED,)
        await tab.ask("a light jacket")
        await tab.page.get_by_role("alert").get_by_text("An API key is needed").wait_for()
        assert await tab.page.evaluate("document.activeElement.name") == "key"
        await tab.answer("a light jacket", key="secret-of-the-shop")
        await tab.page.reload()
        await tab.answer("a light jacket")
        assert await tab.page.evaluate("localStorage.length") == 0


async def test_without_keys_none_is_may_come(gateway: Running, open_tab: OpenTab) -> None:
    tab = await open_tab(gateway.url)
    await tab.settings()
    assert not await tab.page.is_visible("[name=key]")


async def test_a_gateway_that_recommends_nothing_says_what_it_is(
    gateway: Running, open_tab: OpenTab, port: Callable[[], int]
) -> None:
    with running_gateway({"models": gateway.config["models"]}, port(), gateway.folder) as (url, _log):
        tab = await open_tab(url)
        assert "OpenAI’s API" in await tab.text("main")
        assert await tab.page.locator("form").count() == 0


async def _policy(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url + "/") as response:
        return response.headers["content-security-policy"]
