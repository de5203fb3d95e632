"""A gateway before fake engines, as a process, and what a test wants to know of it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from fake_engine.process import FakeEngineProcess, free_port
from running_gateway import wait_for_status

SECONDS = 10.0


def serving_config(engines: Sequence[FakeEngineProcess], **more: Any) -> dict[str, Any]:
    """One TGI model ``m`` with all engines in one pool; ``model`` in ``more`` holds further fields of the model."""
    model = {
        "name": "m",
        "role": "base",
        "engine": "TGI",
        "pools": [{"name": "a", "slots": 8, "endpoints": [{"url": engine.url} for engine in engines]}],
    }
    return {"models": [model | more.pop("model", {})], "metricsSource": {"type": "Pods", "intervalSeconds": 0.1}} | more


class Gateway:
    """A running gateway. ``config`` may be written anew while it runs."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.file, self.log = folder / "gateway.yaml", folder / "gateway.log"
        self.write(config)
        command = [sys.executable, "-m", "recsys_gateway.main", "--config", str(self.file), "--port", str(self.port)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stderr=output)

    def write(self, config: dict[str, Any]) -> None:
        self.file.write_text(json.dumps(config))  # JSON is YAML

    def metric(self, name: str, **labels: str) -> float:
        """Sum over the series of that name that have those labels; 0 where there is none."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            text = response.read().decode()
        rows = re.findall(rf"^recsys_gateway_{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(value) for shown, value in rows if all(each in shown for each in wanted))

    def at_rest(self) -> bool:
        """Whether no call is counted anywhere."""
        return self.metric("pod_inflight") == 0 and self.metric("queue_depth") == 0

    def ready(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                body: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            body = json.load(error)
        return body

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def serving_gateway(folder: Path, config: dict[str, Any]) -> Iterator[Gateway]:
    gateway = Gateway(folder, config)
    try:
        wait_for_status(f"{gateway.url}/healthz", 200, gateway.process)
        yield gateway
    finally:
        gateway.process.terminate()
        try:
            gateway.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            gateway.process.kill()
            gateway.process.wait()


def chat(tokens: int, **more: object) -> dict[str, object]:
    """A request whose answer has so many tokens."""
    return {"model": "m", "messages": [{"role": "user", "content": f"hi @@N:{tokens}@@"}], **more}


async def ask(
    session: aiohttp.ClientSession, gateway: Gateway, body: dict[str, object], **headers: str
) -> tuple[int, str]:
    """Status and text of one answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.post(f"{gateway.url}/v1/chat/completions", json=body, headers=named) as response:
        return response.status, await response.text()


async def until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> float:
    """Return when ``condition`` holds, with the seconds that it took."""
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(0.01)
    return time.monotonic() - began
