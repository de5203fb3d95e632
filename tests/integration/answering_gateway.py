"""A real gateway on a real Milvus, with engines that behave and misbehave as told; fixtures of ``conftest.py``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status
from scripted_engine import ScriptedEngine

JACKET = {"query": "a light jacket for rainy hikes", "user_id": "17", "k": 5, "seed": 1}


@dataclass(frozen=True)
class Running:
    """A gateway with its engines. ``products`` are the rows of its catalogue by id."""

    url: str
    log: Path
    tuned: ScriptedEngine
    base: ScriptedEngine
    products: dict[str, dict[str, str]]
    http: aiohttp.ClientSession

    async def ask(self, body: object = JACKET, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer, whose items are checked against the catalogue."""
        async with self.http.post(f"{self.url}/v1/recommendations", json=body, headers=headers) as response:
            answer = await response.json(content_type=None)
        for item in answer.get("items", []):
            assert self.products[item["id"]]["in_stock"] == "true"
            assert item["title"] == self.products[item["id"]]["title"]
        return response.status, answer

    async def good(self, body: object = JACKET, headers: dict[str, str] | None = None) -> dict[str, Any]:
        status, answer = await self.ask(body, headers)
        assert status == 200, answer
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    shared_milvus: Any, tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]
) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    products = await asyncio.to_thread(load_small_shop, shared_milvus.config, folder)
    tuned, base = ScriptedEngine(), ScriptedEngine()
    await tuned.start()
    await base.start()
    config = configuration(str(shared_milvus.config.uri), tuned.url, base.url)
    async with aiohttp.ClientSession() as http:
        with running_gateway(config, port(), folder) as (url, log):
            await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
            yield Running(url, log, tuned, base, products, http)
    await tuned.stop()
    await base.stop()


@pytest.fixture
def gateway(running: Running) -> Running:
    """The running gateway, with engines that behave."""
    for engine in (running.tuned, running.base):
        engine.__dict__.update(ScriptedEngine().__dict__ | {"url": engine.url, "_runner": engine._runner})
    return running


def sent_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for is in another process
            await asyncio.sleep(0.01)
