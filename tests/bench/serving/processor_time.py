"""Processor time of a router for each request and for each streamed chunk, at a fixed number of calls at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httptools
import yaml
from fake_engine.process import FakeEngineProcess, free_port, wait_until_listening

from bench.serving.routers import gateway_config

CONNECTIONS = 32
KEY = "a-key-of-the-bench"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Work:
    """``requests`` in all; each answers ``tokens``, whole or streamed (an event each)."""

    requests: int
    tokens: int
    stream: bool

    def bytes(self) -> bytes:
        stream = ',"stream":true' if self.stream else ""
        body = f'{{"model":"fake","messages":[{{"role":"user","content":"hello @@N:{self.tokens}@@"}}]{stream}}}'
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until there is nothing left to ask."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request, self._left, self._done = request, left, done
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        if self._left[0] <= 0:
            self._transport.close()
            return
        self._left[0] -= 1
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._request)  # type: ignore[attr-defined]  # a BaseTransport by its type

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.errors += self._parser.get_status_code() != 200
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def _drive(port: int, work: Work) -> None:
    loop, left = asyncio.get_running_loop(), [work.requests]
    clients = []
    for _ in range(CONNECTIONS):
        done: asyncio.Future[None] = loop.create_future()
        _, client = await loop.create_connection(lambda d=done: _Client(work.bytes(), left, d), "127.0.0.1", port)
        clients.append((client, done))
    await asyncio.gather(*(done for _, done in clients))
    errors = sum(client.errors for client, _ in clients)
    if errors or left[0] > 0:
        raise RuntimeError(f"{errors} answers were no 200, {left[0]} were never asked for")


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def microseconds(pid: int, port: int, work: Work) -> float:
    """Processor time of the process ``pid`` for each request of ``work``."""
    before = processor_seconds(pid)
    asyncio.run(_drive(port, work))
    return (processor_seconds(pid) - before) / work.requests * 1e6


@contextmanager
def gateway(engine: FakeEngineProcess, folder: Path) -> Iterator[tuple[int, int]]:
    """Ours with keys, admission, metrics and scraping on: its process and its port."""
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "bench").write_text(KEY)
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(gateway_config([engine], keys)))
    with (folder / "gateway.log").open("wb") as log:
        port = free_port()
        command = [sys.executable, "-m", "recsys_gateway.main", "--config", str(file), "--port", str(port)]
        with _running(command, port, log) as pid:
            yield pid, port


@contextmanager
def relay(engine: FakeEngineProcess, folder: Path) -> Iterator[tuple[int, int]]:
    with (folder / "relay.log").open("wb") as log:
        port = free_port()
        with _running([sys.executable, "-m", "bench.serving.relay", str(port), engine.url], port, log) as pid:
            yield pid, port


@contextmanager
def _running(command: list[str], port: int, log: object) -> Iterator[int]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=log)  # type: ignore[call-overload]  # a file
    try:
        wait_until_listening(port, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)
