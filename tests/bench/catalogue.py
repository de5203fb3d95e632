"""The catalogue under load: a load of many interactions in little memory, and reads while events are written.

cd tests && ../.venv/bin/python -m bench.catalogue load --events 1000000
cd tests && ../.venv/bin/python -m bench.catalogue events --events 100000
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from conftest import MilvusLite
from fake_engine.process import free_port
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.loading import load_catalog
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.catalog.writing import CatalogWriter
from running_gateway import EMBEDDER, configuration, load_small_shop, running_gateway, wait_for_status

NOBODY = "http://127.0.0.1:9"
READ_EVERY_SECONDS = 0.6
"""100 requests a minute."""


def load(folder: Path, milvus: MilvusLite, events: int) -> None:
    """How long a load takes, and how much memory the loader and Milvus Lite needed at most."""
    draw = random.Random(7)
    (folder / "items.csv").write_text("id,title\n" + "".join(f"i{n},Item number {n}\n" for n in range(2_000)))
    with (folder / "events.csv").open("w") as file:
        file.write("user_id,item_id,timestamp\n")
        for moment in range(events):
            file.write(f"u{draw.randrange(events // 100)},i{int(2_000 * draw.random() ** 2)},{moment}\n")
    tables = {"items": {"uri": str(folder / "items.csv")}, "interactions": {"uri": str(folder / "events.csv")}}
    began, empty = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with CatalogWriter(milvus.config) as writer:
        report = load_catalog(CatalogSource.model_validate(tables), writer, Embedder.load(EMBEDDER))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{report.interactions.added:,} events in {time.monotonic() - began:.0f} s")
    print(f"loader: {empty / 1024:.0f} MiB before, {peak / 1024:.0f} MiB at most; Milvus Lite: {milvus.peak_mib():.0f}")


async def events(url: str, count: int) -> None:
    """The p95 of reads, quiet and while ``count`` events are written."""
    async with aiohttp.ClientSession() as http:
        quiet, errors = await _reads(http, url, asyncio.create_task(asyncio.sleep(30)))
        began = time.monotonic()
        busy, more = await _reads(http, url, asyncio.create_task(_write(http, url, count)))
        seconds = time.monotonic() - began
    first, second = _p95(quiet), _p95(busy)
    print(f"{count:,} events in {seconds:.0f} s; {len(busy)} reads, {errors + more} errors")
    print(f"p95 quiet {first * 1000:.0f} ms, while writing {second * 1000:.0f} ms: {second / first:.1f} times")


async def _reads(http: aiohttp.ClientSession, url: str, until: asyncio.Task[None]) -> tuple[list[float], int]:
    times, errors = [], 0
    while not until.done():
        began = time.monotonic()
        body = {"query": "a light jacket for rainy hikes", "user_id": "17", "narrate": False}
        async with http.post(f"{url}/v1/recommendations", json=body) as response:
            answer = await response.json()
            away = [each for each in answer.get("degraded", []) if each["stage"] in ("retrieve", "verify")]
            errors += response.status != 200 or bool(away)
        times.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, READ_EVERY_SECONDS - times[-1]))
    await until
    return times, errors


async def _write(http: aiohttp.ClientSession, url: str, count: int) -> None:
    for start in range(0, count, 500):
        batch = [
            {"id": f"w{n}", "user_id": f"u{n % 3_000}", "item_id": f"JKT-{n % 30:03}", "type": "view", "timestamp": n}
            for n in range(start, min(count, start + 500))
        ]
        async with http.post(f"{url}/v1/events", json={"events": batch}) as response:
            response.raise_for_status()


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["load", "events"])
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, milvus = Path(name), MilvusLite(Path(name) / "milvus")
        try:
            milvus.start()
            if options.what == "load":
                load(folder, milvus, options.events)
                return
            load_small_shop(milvus.config, folder)
            with running_gateway(configuration(str(milvus.config.uri), NOBODY, NOBODY), free_port(), folder) as (
                url,
                _,
            ):
                wait_for_status(url + "/readyz", 200)
                asyncio.run(events(url, options.events))
        finally:
            milvus.kill()


if __name__ == "__main__":
    main()
