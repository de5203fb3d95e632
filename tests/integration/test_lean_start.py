"""A gateway loads what it needs: without a catalogue nothing that a catalogue needs, and with one no pandas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import requests
from running_gateway import start_gateway, wait_for_status

MODELS = {
    "models": [
        {
            "name": "fake",
            "role": "base",
            "engine": "TGI",
            "pools": [{"name": "a", "endpoints": [{"url": "http://127.0.0.1:9"}]}],
        }
    ]
}
OF_A_CATALOGUE = {"pymilvus", "pandas", "scipy", "pyarrow", "grpc", "onnxruntime", "tokenizers"}
MOST_MIB = 120
"""Resident; 70 as this was written, and 180 where the catalogue's packages were loaded, too."""
LOADED = """
import asyncio, json, pathlib, sys
from recsys_gateway.api.app import create_app
from recsys_gateway.config import load_config

async def serve(api):
    async with api.router.lifespan_context(api):
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))

asyncio.run(serve(create_app(load_config(pathlib.Path(sys.argv[1]))).api))
"""


def test_without_a_catalogue_none_of_its_packages_are_loaded(tmp_path: Path) -> None:
    file = tmp_path / "gateway.json"
    file.write_text(json.dumps(MODELS))
    done = subprocess.run([sys.executable, "-c", LOADED, str(file)], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert "fastapi" in loaded
    assert not loaded & OF_A_CATALOGUE


def test_without_a_catalogue_it_stays_small_and_says_so_on_its_routes(tmp_path: Path, port: Callable[[], int]) -> None:
    chosen = port()
    url = f"http://127.0.0.1:{chosen}"
    with start_gateway(MODELS, chosen, tmp_path) as gateway:
        wait_for_status(url + "/healthz", 200, gateway)
        answer = requests.get(url + "/v1/items/A", timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_configured")
        assert requests.post(url + "/v1/recommendations", json={}, timeout=10).status_code == 404
        pages = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1])
        gateway.terminate()
    resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert resident < MOST_MIB, f"{resident:.0f} MiB"


WITH_A_CATALOGUE = """
import sys
from recsys_gateway.catalog import creating, store, writing

assert not {"pandas", "pyarrow"} & set(sys.modules)
import pandas

print(pandas.DataFrame({"a": [1, 2]})["a"].sum())
"""


def test_with_a_catalogue_pandas_is_not_loaded_but_stays_there_for_others() -> None:
    done = subprocess.run([sys.executable, "-c", WITH_A_CATALOGUE], check=True, capture_output=True, text=True)
    assert done.stdout == "3\n"
