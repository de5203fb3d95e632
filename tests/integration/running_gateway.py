"""A gateway as a process of its own, and a small catalogue for it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import recsys_operator
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.loading import load_catalog
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

SAMPLES = Path(recsys_operator.__file__).parent / "samples"
EMBEDDER = SAMPLES / "models" / "embedder"
EVERY = 4
"""One in so many products of the sample shop, and all that are out of stock."""


def load_small_shop(store: VectorStore, folder: Path) -> dict[str, dict[str, str]]:
    """Load a part of the sample shop; its products by id."""
    with (SAMPLES / "shop" / "items.csv").open(encoding="utf-8") as file:
        rows = [row for n, row in enumerate(csv.DictReader(file)) if n % EVERY == 0 or row["in_stock"] == "false"]
    items = {row["id"]: row for row in rows}
    _write(folder / "items.csv", rows)
    with (SAMPLES / "shop" / "interactions.csv").open(encoding="utf-8") as file:
        _write(folder / "interactions.csv", [row for row in csv.DictReader(file) if row["item_id"] in items][:2000])
    tables = {
        "items": {"uri": f"file://{folder}/items.csv"},
        "users": {"uri": f"file://{SAMPLES}/shop/users.csv"},
        "interactions": {"uri": f"file://{folder}/interactions.csv"},
    }
    with CatalogWriter(store) as writer:
        load_catalog(CatalogSource.model_validate(tables), writer, Embedder.load(EMBEDDER))
    return items


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def configuration(milvus: str, tuned: str, base: str, **recommendation: object) -> dict[str, Any]:
    """A gateway's configuration; an address may lead to nobody."""
    return {
        "models": [
            {"name": role, "role": role, "engine": "LlamaCpp", "pools": [{"name": "a", "endpoints": [{"url": url}]}]}
            for role, url in (("tuned", tuned), ("base", base))
        ],
        "embedder": {"path": str(EMBEDDER)},
        "vectorStore": {"uri": milvus, "timeoutSeconds": 2},
        "recommendation": recommendation,
    }


@contextmanager
def running_gateway(config: dict[str, Any], port: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """A gateway that answers /healthz: its address, and the file of its log."""
    process = start_gateway(config, port, folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_status(url + "/healthz", 200, process)
        yield url, folder / f"gateway-{port}.log"
    finally:
        process.terminate()
        process.wait(timeout=20)


def start_gateway(config: dict[str, Any], port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A gateway's process, just begun."""
    file, log = folder / f"gateway-{port}.json", folder / f"gateway-{port}.log"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "recsys_gateway.main", "--config", str(file), "--port", str(port)]
    with log.open("ab") as output:
        return subprocess.Popen(command, stderr=output)


def wait_for_status(url: str, status: int, process: subprocess.Popen[bytes] | None = None, seconds: float = 60) -> None:
    """Return when a GET of ``url`` answers ``status``."""
    deadline, got = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                got = response.status
        except urllib.error.HTTPError as error:
            got = error.code
        except OSError:
            got = 0
        if got == status:
            return
        time.sleep(0.05)
    raise AssertionError(f"{url}: {got} and not {status} within {seconds:g} s")
