"""A real Triton server with the sample sentence encoder, for tests.

It comes from nvidia-pytriton, which has Triton's Python backend alone, and lives in an environment of its own under
the user's cache folder (400 MB, once). ``RECSYS_WITHOUT_TRITON=1`` leaves out the tests that need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cached_environment import cached_environment
from fake_engine.process import free_port

WITHOUT = "RECSYS_WITHOUT_TRITON"
HERE = Path(__file__).parent / "triton"
REQUIREMENTS = HERE / "requirements.txt"
SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Not the one that runs the tests: Triton's stub wants the system's own libpython."""
START_SECONDS = 60.0
INSTALL_SECONDS = 280.0


class TritonProcess:
    """A tritonserver with the model ``embedder``. It can be stopped, and have its model killed."""

    def __init__(self, folder: Path, encoder: Path) -> None:
        self._folder = folder
        self._environment = _environment()
        self.http_port, self.grpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.grpc_port}"
        self._process: subprocess.Popen[bytes] | None = None
        _write_repository(folder / "models", encoder)
        _write_backends(folder / "backends", self._environment)

    def start(self) -> None:
        server = _package(self._environment) / "bin" / "tritonserver"
        options = [f"--model-repository={self._folder / 'models'}", f"--backend-directory={self._folder / 'backends'}"]
        options += [f"--http-port={self.http_port}", f"--grpc-port={self.grpc_port}", "--allow-metrics=false"]
        options += ["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]
        path = f"{self._environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        log = self._folder / "triton.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(server), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PATH": path},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"tritonserver did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it with its models' processes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def kill_model(self) -> None:
        """The process that runs the model dies; the server stays, and says that it is ready."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/v2/health/ready", timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@contextmanager
def running_triton(folder: Path, encoder: Path) -> Iterator[TritonProcess]:
    """A server that is ready; the test is left out where the environment says so."""
    if os.environ.get(WITHOUT):
        pytest.skip(f"{WITHOUT} is set")
    server = TritonProcess(folder, encoder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _environment() -> Path:
    """The environment that holds tritonserver; made where it is not there yet."""
    return cached_environment(f"triton-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}", _install)


def _install(folder: Path) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [str(SYSTEM_PYTHON), "-m", "venv", "--clear", str(folder)],
        [*pip, "--only-binary=:all:", "--require-hashes", f"--requirement={REQUIREMENTS}"],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            pytest.fail(f"Triton for tests cannot be installed ({WITHOUT}=1 leaves its tests out):\n{said[-2000:]}")


def _package(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages/pytriton/tritonserver")
    return found


def _write_repository(models: Path, encoder: Path) -> None:
    model = models / "embedder"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text((HERE / "embedder" / "1" / "model.py").read_text())
    (model / "config.pbtxt").write_text(
        (HERE / "embedder" / "config.pbtxt").read_text().replace("${ENCODER}", str(encoder))
    )


def _write_backends(backends: Path, environment: Path) -> None:
    """The Python backend, with the stub for this environment's version of Python beside it."""
    package = _package(environment)
    version = package.parents[2].name.removeprefix("python")
    (backends / "python").mkdir(parents=True)
    stub = package / "python_backend_stubs" / version / "triton_python_backend_stub"
    for file in (*(package / "backends" / "python").iterdir(), stub):
        (backends / "python" / file.name).symlink_to(file)
