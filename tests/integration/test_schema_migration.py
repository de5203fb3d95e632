"""A store of schema version 1 is brought to the version of today by whoever starts on it, killed half-way or not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from first_schema import FirstCatalogue, write_first_schema
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.loading import load_catalog
from recsys_gateway.catalog.migration import OLD, prepare
from recsys_gateway.catalog.records import Interaction, Item
from recsys_gateway.catalog.rows import item_of
from recsys_gateway.catalog.source import CatalogSource
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.catalog.writing import CatalogWriter
from running_gateway import EMBEDDER, configuration, running_gateway, wait_for_status

from .conftest import MilvusLite

NOBODY = "http://127.0.0.1:9"
ITEMS, USERS = 1_200, 300
"""More than the migration copies at once, so that it can be killed between."""


@pytest.fixture(scope="module")
def first() -> FirstCatalogue:
    items = [
        Item(f"I-{n}", f"Lamp number {n} of oak", "Shines.", ("Lamps",), n + 0.5 if n % 7 else None, True, {"watts": n})
        for n in range(ITEMS)
    ]
    vectors = Embedder.load(EMBEDDER).embed([item.document for item in items])
    users = [f"U-{n}" for n in range(USERS)]
    events = [
        Interaction(f"E-{n}", users[n % USERS], f"I-{n % 40}", "purchase", None, float(n)) for n in range(3 * USERS)
    ]
    return FirstCatalogue(
        items,
        {item.id: vector.tolist() for item, vector in zip(items, vectors, strict=True)},
        {key: {"age": n} for n, key in enumerate(users)},
        {key: [event.item_id for event in events if event.user_id == key] for key in users},
        events,
    )


async def test_a_gateway_that_starts_on_it_finds_and_changes_everything(
    first: FirstCatalogue, milvus: MilvusLite, tmp_path: Path, port: Callable[[], int]
) -> None:
    await asyncio.to_thread(write_first_schema, milvus.config, first)
    config = configuration(str(milvus.config.uri), NOBODY, NOBODY)
    config["vectorStore"]["timeoutSeconds"] = 5
    with running_gateway(config, port(), tmp_path) as (url, _):
        await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
        async with aiohttp.ClientSession(url) as http:
            event = {"id": "new", "user_id": "U-3", "item_id": "I-77", "type": "view"}
            async with http.post("/v1/events", json=event) as response:  # waits for the migration
                assert await response.json() == {"accepted": 1, "duplicates": 0}
            async with http.get("/v1/users/U-3") as response:
                user = await response.json()
            assert user["traits"] == {"age": 3}
            assert user["history"] == [*first.histories["U-3"], "I-77"]
            async with http.get("/v1/items/I-14") as response:
                assert (await response.json())["attributes"] == {"watts": 14}
            body = {"query": "lamp number 1111", "filters": {"watts": {"gte": 1111, "lte": 1111}}, "narrate": False}
            async with http.post("/v1/recommendations", json=body) as response:
                assert [item["id"] for item in (await response.json())["items"]] == ["I-1111"]
            async with http.post("/v1/events", json={**event, "id": "E-5"}) as response:
                assert await response.json() == {"accepted": 0, "duplicates": 1}, "old events are known"


def test_a_load_brings_counts_and_keeps_vectors(first: FirstCatalogue, milvus: MilvusLite, tmp_path: Path) -> None:
    write_first_schema(milvus.config, first)
    lines = [
        f"{item.id},{item.title},{item.description},Lamps,{'' if item.price is None else item.price},{watts}"
        for item in first.items
        for watts in item.attributes.values()
    ]
    (tmp_path / "items.csv").write_text("\n".join(["id,title,description,categories,price,watts", *lines]) + "\n")
    source = CatalogSource.model_validate({"items": {"uri": f"file://{tmp_path}/items.csv"}})
    with CatalogWriter(milvus.config) as writer:
        report = load_catalog(source, writer, Embedder.load(EMBEDDER))
        counts = {row["id"]: row["events"] for row in writer.all_rows(schema.STATISTICS, ["events"])}
    assert (report.items.added, report.items.removed) == (0, 0)
    assert sum(counts.values()) == len(first.events)
    assert counts["I-3"] == sum(event.item_id == "I-3" for event in first.events)


MIGRATE = """
import sys
from pathlib import Path
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

config = VectorStore.model_validate({"uri": sys.argv[1], "timeoutSeconds": 5})
with CatalogWriter(config, lambda rows: print(rows, flush=True)) as writer:
    prepare(writer, Embedder.load(Path(sys.argv[2])))
"""


@pytest.mark.timeout(900)  # Milvus and four processes are started one after another
async def test_it_is_killed_again_and_again_and_nothing_is_lost(first: FirstCatalogue, own_milvus: MilvusLite) -> None:
    await asyncio.to_thread(write_first_schema, own_milvus.config, first)
    for copied in (500, ITEMS + USERS):
        await asyncio.to_thread(_killed_once_it_has_copied, copied, own_milvus)
    embedder = Embedder.load(EMBEDDER)
    with CatalogWriter(own_milvus.config) as writer:
        prepare(writer, embedder)
        assert writer.fact("schema")["version"] == schema.SCHEMA_VERSION
        rows = {row["id"]: row for row in writer.all_rows(schema.ITEMS, ["*"], page=400)}
        users = {row["id"]: row for row in writer.all_rows(schema.USERS, ["traits", "history"])}
        assert writer.count(schema.INTERACTIONS) == len(first.events)
        assert not [name for name in (schema.ITEMS, schema.USERS) if writer.has(name + OLD)]
    assert {key: item_of(row) for key, row in rows.items()} == {item.id: item for item in first.items}
    for key, vector in first.vectors.items():
        assert rows[key]["text"] == pytest.approx(vector, abs=1e-6)
    assert {key: row["traits"] for key, row in users.items()} == first.traits
    store = await CatalogStore.connect(own_milvus.config)
    user = await store.user("U-7")
    assert user is not None
    assert list(user.history) == first.histories["U-7"]
    await store.close()


def _killed_once_it_has_copied(rows: int, milvus: MilvusLite) -> None:
    command = [sys.executable, "-c", MIGRATE, str(milvus.config.uri), str(EMBEDDER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as migration:
        assert migration.stdout is not None
        for line in migration.stdout:
            if int(line) >= rows:
                break
        migration.kill()
        milvus.kill()
    milvus.start()
