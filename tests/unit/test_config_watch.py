"""The watch over the configuration's file: what was changed is applied, whenever that was."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from recsys_gateway.api import config_watch
from recsys_gateway.api.config_watch import watch_config
from recsys_gateway.config import GatewayConfig, load_config


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_watch, "POLL_SECONDS", 0.001)


def content(waiting: int, indent: int | None = None) -> str:
    pool = {"name": "a", "endpoints": [{"url": "http://127.0.0.1:1"}]}
    model = {"name": "m", "role": "base", "engine": "TGI", "pools": [pool]}
    config: dict[str, Any] = {"models": [model], "admission": {"maxWaiting": waiting}}
    return json.dumps(config, indent=indent)


class Watched:
    """A file under watch, and the value of ``admission.maxWaiting`` of each configuration that was applied.

    ``read`` has the content of each look that found another one.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gateway.yaml"
        self.file.write_text(content(1))
        self.running = load_config(self.file)
        self.read: asyncio.Queue[str] = asyncio.Queue()
        self.applied: asyncio.Queue[int] = asyncio.Queue()

    def write(self, text: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    async def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()

        def reading(path: Path) -> GatewayConfig:
            try:
                return load_config(path)
            finally:
                loop.call_soon_threadsafe(self.read.put_nowait, path.read_text())

        monkeypatch.setattr(config_watch, "load_config", reading)
        await watch_config(self.file, self.running, self._apply)

    def _apply(self, config: GatewayConfig) -> None:
        self.applied.put_nowait(config.admission.max_waiting)


async def test_a_change_between_the_start_and_the_first_look_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path)
    watched.write(content(2))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watching = group.create_task(watched.watch(monkeypatch))
        assert await watched.applied.get() == 2
        watching.cancel()


async def test_what_means_the_same_or_cannot_be_used_is_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(tmp_path)
    same, broken = content(1, indent=2), content(-1)
    watched.write(same)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watching = group.create_task(watched.watch(monkeypatch))
        assert await watched.read.get() == same
        watched.write(broken)
        assert await watched.read.get() == broken
        watched.write(content(3))
        assert await watched.applied.get() == 3
        watching.cancel()
    assert watched.applied.empty()
    [problem] = [record.problem for record in caplog.records if record.levelname == "ERROR"]
    assert "admission.maxWaiting" in problem
