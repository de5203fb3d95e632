"""Fake engines as processes of their own, for tests and benchmarks: started, killed, frozen, switched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from recsys_operator.local.ports import free_ports

START_SECONDS = 20.0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now, and that the kernel gives to nobody else meanwhile."""
    return free_ports(1)[0]


def wait_until_listening(
    port: int, process: subprocess.Popen[bytes], seconds: float = START_SECONDS, host: str = "127.0.0.1"
) -> None:
    """
    Raises:
        RuntimeError: the process ended, or does not listen within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on {port} within {seconds:g} s")


class FakeEngineProcess:
    """``python -m fake_engine`` on a port that stays its own over restarts. A context manager, or start and stop."""

    def __init__(
        self,
        *,
        dialect: str = "tgi",
        slots: int = 8,
        token_ms: float = 5,
        speed: float = 1,
        max_concurrent: int | None = None,
        model: str = "example/tiny-llama",
        port: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.port = free_port() if port is None else port
        self.host = host
        self.url = f"http://{host}:{self.port}"
        self.slots = slots
        self.speed = speed
        self._options = ["--host", host]
        self._options += ["--dialect", dialect, "--slots", str(slots), "--token-ms", str(token_ms), "--model", model]
        self._options += ["--speed", str(speed)]
        if max_concurrent is not None:
            self._options += ["--max-concurrent", str(max_concurrent)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def launch(self) -> None:
        """Start the process and do not wait for it."""
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        command = [sys.executable, "-m", "fake_engine", "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, env=environment)

    def start(self) -> None:
        """Return when it listens."""
        self.launch()
        self.wait()

    def wait(self) -> None:
        """Return when what was launched listens."""
        assert self._process is not None, "not launched"
        wait_until_listening(self.port, self._process, host=self.host)

    def kill(self) -> None:
        """SIGKILL: connections break, nothing is finished. Nothing happens where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it, and start it on the same port with nothing remembered."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def control(self, **switches: object) -> dict[str, Any]:
        """Switch what is named (``fake_engine.engine.Switches``, ``speed``); the counters."""
        data = json.dumps(switches).encode() if switches else None
        request = urllib.request.Request(f"{self.url}/_control", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as response:
            report: dict[str, Any] = json.load(response)
            return report

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            return str(response.read().decode())
