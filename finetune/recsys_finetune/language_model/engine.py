"""llama.cpp's HTTP server for one GGUF, in a child process: what evaluation and tests ask their questions of."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOT_CONTEXT = 2048
STOP_SECONDS = 10


class EngineStartError(RuntimeError):
    """The engine did not start; the message ends with the last lines of its log."""


@contextmanager
def running_engine(model: Path, *, slots: int = 1, threads: int = 1) -> Iterator[str]:
    """The URL of an engine that serves ``model`` on 127.0.0.1 at a free port; it ends with the block.

    The engine answers ``/v1/chat/completions``, ``/tokenize``, ``/apply-template``, ``/metrics`` and the rest of
    llama.cpp's server. It also ends when this process dies: its standard input closes then.

    Raises:
        EngineStartError: the file is no model that llama.cpp can serve.
    """
    command = [sys.executable, "-m", __name__, str(model), str(slots), str(threads)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert child.stdout is not None  # noqa: S101 - it was asked for above
            url = next((line.strip() for line in child.stdout if line.startswith("http://")), None)
            if url is None:
                log.seek(0)
                raise EngineStartError(f"{model}: the engine did not start: " + " ".join(log.read().split()[-40:]))
            yield url
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def serve(model: Path, slots: int, threads: int) -> None:
    """Serve until standard input closes; the first line on standard output is the URL."""
    import xllamacpp  # only the child loads the engine

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {model.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = SLOT_CONTEXT * slots
    parameters.n_parallel = slots
    parameters.endpoint_metrics = True
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
