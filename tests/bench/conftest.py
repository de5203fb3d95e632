"""A real `recsys up` on the sample shop for the benchmarks, or the one that RECSYS_URL names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_engine.process import free_port

RECSYS = Path(sys.executable).with_name("recsys")


@pytest.fixture(scope="session")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := os.environ.get("RECSYS_URL"):
        yield url
        return
    data, port = tmp_path_factory.mktemp("recsys"), free_port()
    subprocess.run([RECSYS, "up", "--detach", "--port", str(port), "--data-dir", data], check=True, timeout=300)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([RECSYS, "down", "--data-dir", data], check=True, timeout=60)
