"""Real processes for the integration tests: each test starts what it needs, and none outlives it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from answering_gateway import gateway as gateway  # fixtures of all modules here
from answering_gateway import running as running
from fake_engine.process import free_port
from recsys_gateway.catalog.pymilvus import MilvusClient
from recsys_gateway.config import VectorStore
from recsys_operator.local.milvus_files import discard_index_files

START_SECONDS = 60.0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Return when ``condition`` holds; fail the test where it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


class MilvusLite:
    """A Milvus Lite server on a folder, as ``recsys up`` runs it. It can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> VectorStore:
        return VectorStore.model_validate({"uri": f"http://127.0.0.1:{self.port}", "timeoutSeconds": 5})

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        discard_index_files(self.folder)  # as `recsys up` does before each start
        command = [sys.executable, "-m", "recsys_operator.local.milvus_process"]
        command += ["--data-dir", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        log = self.folder.with_suffix(".log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        wait_for(lambda: self._listens_or_fails(log), "Milvus Lite listens")

    def stop(self) -> None:
        """SIGSTOP: it keeps its connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, no lock is released by the process itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def empty(self) -> None:
        """Without a collection, as a new one."""
        with contextlib.closing(MilvusClient(str(self.config.uri))) as client:
            for name in client.list_collections():
                client.drop_collection(name)

    def peak_mib(self) -> float:
        """The most memory that was resident."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024

    def _listens_or_fails(self, log: Path) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"Milvus Lite ended at once: {log.read_text()[-2000:]}")
        return listens(self.port)


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[MilvusLite]:
    server = MilvusLite(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def server_to_be_emptied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    """A start takes seconds, emptying it takes none."""
    with _started(tmp_path_factory.mktemp("emptied") / "milvus") as server:
        yield server


@pytest.fixture
def milvus(server_to_be_emptied: MilvusLite) -> MilvusLite:
    """An empty Milvus Lite server, to leave alive."""
    server_to_be_emptied.empty()
    return server_to_be_emptied


@pytest.fixture(scope="module")
def shared_milvus(server_to_be_emptied: MilvusLite) -> MilvusLite:
    """The same, empty at a module's start, for tests that only read, or do not mind each other."""
    server_to_be_emptied.empty()
    return server_to_be_emptied


@pytest.fixture
def own_milvus(tmp_path: Path) -> Iterator[MilvusLite]:
    """An empty Milvus Lite server of the test's own, to be stopped and killed."""
    with _started(tmp_path / "milvus") as server:
        yield server


@pytest.fixture(scope="session")
def port() -> Callable[[], int]:
    """Gives a free port each time that it is called."""
    return free_port
