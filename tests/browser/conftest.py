"""A real Chromium that is driven by Playwright, and gateways for its page."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fake_engine.process import free_port
from integration.conftest import port, server_to_be_emptied, shared_milvus  # noqa: F401  fixtures
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, async_playwright

RECSYS = Path(sys.executable).with_name("recsys")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ABSENT = "no Chromium: the web page is not tested; get it with `apt-get install chromium`, or name one in CHROMIUM"
REFUSED = "Failed to load resource"
"""What Chromium itself writes when a call is refused; a page cannot keep it from that."""

DESKTOP = {"locale": "en-GB", "viewport": {"width": 1200, "height": 900}}

OpenTab = Callable[..., Awaitable["Tab"]]


@dataclass
class Tab:
    """An open page, and all that it must not do. ``expected`` are beginnings of console lines that a test provokes."""

    page: Page
    url: str
    expected: tuple[str, ...] = ()
    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    async def watch(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", self._requested)
        self.page.on("dialog", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console.append(message.text)

    def _requested(self, request: Request) -> None:
        if not request.url.startswith(self.url + "/"):
            self.foreign.append(request.url)

    async def _asked(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()

    def behaved(self) -> None:
        assert [line for line in self.console if not line.startswith(self.expected or ("\0",))] == []
        assert self.foreign == []
        assert self.dialogs == []

    async def ask(self, query: str, **values: str) -> None:
        """Fill the fields by their names and press Enter."""
        await self.page.fill("#query", query)
        for name, value in values.items():
            await self.page.fill(f"[name={name}]", value)
        await self.page.press("#query", "Enter")

    async def answer(self, query: str = "a light jacket for rainy hikes", **values: str) -> None:
        """Ask, and wait until the answer is whole."""
        await self.ask(query, **values)
        await self.page.wait_for_selector("#figures section", timeout=60_000)

    async def settings(self) -> None:
        """Return when the page has the gateway's settings: they come after it."""
        await self.page.wait_for_selector("#configured:not(:empty)", state="attached")

    async def text(self, selector: str) -> str:
        return await self.page.inner_text(selector)

    async def texts(self, selector: str) -> list[str]:
        return await self.page.locator(selector).all_inner_texts()

    async def ild(self) -> float:
        """The cosine ILD that the page shows."""
        return float((await self.texts("#figures .bar span:last-child"))[0].split(",")[0])


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(ABSENT)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Its sandbox wants rights that a container does not give; the pages are our own.
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Opens the page of a gateway; after the test each tab must have behaved."""
    tabs: list[Tab] = []

    async def opened(url: str, **options: Any) -> Tab:
        context = await browser.new_context(**(DESKTOP | options))
        context.set_default_timeout(60_000)
        tab = Tab(await context.new_page(), url)
        await tab.watch()
        tabs.append(tab)
        await tab.page.goto(url + "/")
        return tab

    yield opened
    for tab in tabs:
        await tab.page.context.close()
        tab.behaved()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[str]:
    """The address of the sample shop with the sample models, as ``recsys up`` starts it."""
    data, address = tmp_path_factory.mktemp("recsys"), free_port()
    subprocess.run([RECSYS, "up", "--detach", "--port", str(address), "--data-dir", data], check=True, timeout=300)
    try:
        yield f"http://127.0.0.1:{address}"
    finally:
        subprocess.run([RECSYS, "down", "--data-dir", data], check=True, timeout=60)


async def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Return when ``condition`` holds; the loop goes on meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  what is waited for happens in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{what}: not within {seconds:g} s")
