"""A real Milvus server of version 2.3, for tests: what an older cluster runs, without sparse vectors and BM25.

It comes from PyPI's ``milvus``, whose programs run by themselves, and lives in an environment of its own under the
user's cache folder (350 MB, once). Where it cannot be had the tests that need it are skipped.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from cached_environment import cached_environment
from fake_engine.process import free_port
from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

VERSION = "2.3.5"
REQUIREMENT = f"milvus=={VERSION} --hash=sha256:69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04\n"
START_SECONDS = 150.0
INSTALL_SECONDS = 280.0
_UNPACK = "import sys, milvus; milvus._initialize_data_files(sys.argv[1])"


@contextmanager
def running_milvus_server(folder: Path) -> Iterator[VectorStore]:
    """An empty server that takes calls, and how it is reached."""
    installed = _installed()
    folder.mkdir(parents=True)
    (folder / "bin").symlink_to(installed / "bin-of-server")  # else each start unpacks 200 MB
    command = [str(installed / "bin" / "milvus-server"), "--data", str(folder), "--proxy-port", str(free_port())]
    with (folder / "server.log").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield _wait_until_it_takes_calls(process, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_takes_calls(process: subprocess.Popen[bytes], folder: Path) -> VectorStore:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            store = _reached(folder)
            with CatalogWriter(store) as writer:
                writer.check()
                return store
        except (OSError, StoreUnavailable, yaml.YAMLError, LookupError, TypeError) as error:  # half a file, too
            if process.poll() is not None or time.monotonic() > deadline:
                log = folder / "logs" / "milvus-stderr.log"
                said = log.read_text(errors="replace")[-3000:] if log.exists() else ""
                pytest.fail(f"Milvus {VERSION} did not start: {error}\n{said}")
        time.sleep(0.2)


def _reached(folder: Path) -> VectorStore:
    """It takes another port where it cannot have the one asked for, and writes it into its configuration."""
    port = yaml.safe_load((folder / "configs" / "milvus.yaml").read_text())["proxy"]["port"]
    return VectorStore.model_validate({"uri": f"http://127.0.0.1:{port}", "timeoutSeconds": 5})


def _installed() -> Path:
    """The environment that holds the server; made where it is not there yet."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip(f"there is no Milvus {VERSION} without containers for {sys.platform} on {platform.machine()}")
    return cached_environment(f"milvus-{VERSION}", _install)


def _install(folder: Path) -> None:
    python = str(folder / "bin" / "python")
    requirements = folder / "requirements.txt"
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--require-hashes", f"--requirement={requirements}"],
        [python, "-c", _UNPACK, str(folder / "unpacked")],
    ):
        if "pip" in command:
            requirements.write_text(REQUIREMENT)
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip()
            pytest.skip(f"Milvus {VERSION} for tests cannot be had: {said[-500:]}")
    (folder / "unpacked" / "bin").rename(folder / "bin-of-server")
