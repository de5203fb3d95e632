"""A catalogue is loaded into a real Milvus Lite, loaded again, changed, cut short and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.filters import NO_FILTERS, FieldKind
from recsys_gateway.catalog.load_config import OnError
from recsys_gateway.catalog.loading import LoadError, LoadReport, load_catalog
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.pymilvus import MilvusClient
from recsys_gateway.catalog.searching import SearchRequest
from recsys_gateway.catalog.source import CatalogSource, SourceError
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.catalog.writing import CatalogWriter

from .conftest import MilvusLite

DIMENSION = 16
ITEMS = """id,title,description,categories,price,in_stock,brand
JKT-1,Rain Jacket,Keeps rain out,Jackets|Hiking,80,true,"O""Neil"
TNT-1,Tent,For two,Tents,200,true,Nord
MAT-1,Mat,To sleep on,Tents,30,false,Nord
우산-1,우산 ☂,비 오는 날,Rain,9.5,true,두루
"""
USERS = "id,age,region\n1,34,coast\n2,51,city\n"
EVENTS = """id,user_id,item_id,type,timestamp
e1,1,TNT-1,purchase,10
e2,1,MAT-1,purchase,20
e3,2,TNT-1,purchase,5
e4,2,MAT-1,purchase,6
e5,3,JKT-1,purchase,7
e6,2,GONE-1,purchase,8
"""


class HashedWords:
    """A sentence encoder for tests: equal words, near vectors; counts what it was asked for."""

    dimension = DIMENSION

    def __init__(self, seed: int = 0) -> None:
        self.embedded: list[str] = []
        self._seed = seed

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        vectors = np.full((len(texts), self.dimension), 0.01, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode(), self._seed) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Shop:
    """A small catalogue on disk, and its loads."""

    def __init__(self, folder: Path, milvus: MilvusLite) -> None:
        self.folder, self.milvus = folder, milvus
        self.embedder = HashedWords()
        self.write(items=ITEMS, users=USERS, interactions=EVENTS)

    def write(self, **tables: str) -> None:
        for name, text in tables.items():
            (self.folder / f"{name}.csv").write_text(text)

    def load(self, on_error: OnError = OnError.STOP) -> LoadReport:
        source = CatalogSource.model_validate(
            {name: {"uri": str(self.folder / f"{name}.csv")} for name in ("items", "users", "interactions")}
        )
        self.embedder.embedded.clear()
        with CatalogWriter(self.milvus.config) as writer:
            return load_catalog(source, writer, self.embedder, on_error=on_error)

    async def store(self) -> CatalogStore:
        return await CatalogStore.connect(self.milvus.config)


@pytest.fixture
def shop(tmp_path: Path, milvus: MilvusLite) -> Shop:
    return Shop(tmp_path, milvus)


async def test_a_catalogue_is_loaded_whole(shop: Shop) -> None:
    report = shop.load()
    assert (report.items.added, report.users.added, report.interactions.added) == (4, 3, 6)
    assert report.unknown_items == 1
    store = await shop.store()
    stored = await store.items(["우산-1", "JKT-1", "nothing", "JKT-1"])
    assert list(stored) == ["우산-1", "JKT-1"]
    jacket = stored["JKT-1"]
    assert jacket.item.categories == ("Jackets", "Hiking")
    assert jacket.item.price == 80
    assert jacket.item.attributes == {"brand": 'O"Neil'}
    assert np.linalg.norm(jacket.text) == pytest.approx(1, abs=1e-5)
    await store.read_counts()
    assert (await store.items(["JKT-1"]))["JKT-1"].popularity == pytest.approx(1 / 6)
    assert jacket.collaborative is None
    user = await store.user("1")
    assert user is not None
    assert user.traits == {"age": 34, "region": "coast"}
    assert user.history == ("TNT-1", "MAT-1")
    stranger = await store.user("3")
    assert stranger is not None
    assert stranger.traits == {}
    assert await store.user("4") is None
    fields = await store.fields()
    assert fields["brand"] is FieldKind.TEXT
    assert fields["price"] is FieldKind.NUMBER
    assert [each.item.id for each in await store.popular(10)] == ["TNT-1", "JKT-1", "우산-1"]
    await store.close()


def test_loading_again_changes_nothing(shop: Shop) -> None:
    shop.load()
    report = shop.load()
    assert report.changes == 0
    assert (report.items.read, report.users.read, report.interactions.read) == (4, 2, 6)
    assert len(shop.embedder.embedded) == 1, "only the probe that names the encoder"
    with CatalogWriter(shop.milvus.config) as writer:
        assert writer.acknowledged == 0
        assert writer.count(schema.INTERACTIONS) == 6


async def test_changed_rows_are_updated_removed_ones_go_and_new_events_count(shop: Shop) -> None:
    shop.load()
    shop.write(
        items=ITEMS.replace("Rain Jacket", "Storm Jacket").replace("MAT-1,Mat,To sleep on,Tents,30,false,Nord\n", ""),
        users="id,age,region\n1,35,coast\n",
        interactions=EVENTS + "e7,1,JKT-1,purchase,30\n",
    )
    report = shop.load()
    assert (report.items.changed, report.items.removed, report.items.added) == (1, 1, 0)
    assert (report.users.changed, report.users.removed, report.interactions.added) == (2, 0, 1)
    assert [text[:12] for text in shop.embedder.embedded[1:]] == ["Storm Jacket"]
    store = await shop.store()
    stored = await store.items(["JKT-1", "MAT-1"])
    assert [each.item.title for each in stored.values()] == ["Storm Jacket"]
    assert stored["JKT-1"].collaborative is not None
    first, second = await store.user("1"), await store.user("2")
    assert first is not None
    assert first.traits["age"] == 35
    assert first.history == ("TNT-1", "MAT-1", "JKT-1")
    assert second is not None, "events keep a user whom the table has no more"
    assert second.traits == {}
    await store.close()


async def test_the_revision_changes_with_the_items_and_only_with_them(shop: Shop) -> None:
    shop.load()
    store = await shop.store()
    first = await store.revision()
    assert first
    shop.load()
    assert await store.revision() == first
    shop.write(items=ITEMS.replace("MAT-1,Mat", "MAT-1,Sleeping Mat"))
    shop.load()
    second = await store.revision()
    assert second != first
    shop.write(items="".join(line for line in ITEMS.splitlines(keepends=True) if "MAT-1" not in line))
    shop.load()
    assert await store.revision() not in (first, second)
    await store.close()


def test_another_encoder_embeds_everything_again(shop: Shop) -> None:
    shop.load()
    shop.embedder = HashedWords(seed=7)
    assert shop.load().items.changed == 4


async def test_an_encoder_of_another_dimension_rebuilds_items_and_keeps_events(shop: Shop) -> None:
    shop.load()
    shop.embedder.dimension = 24
    report = shop.load()
    assert (report.items.changed, report.users.added, report.interactions.added) == (4, 0, 0)
    store = await shop.store()
    assert (await store.items(["TNT-1"]))["TNT-1"].text.shape == (24,)
    user = await store.user("1")
    assert user is not None
    assert user.history == ("TNT-1", "MAT-1")
    await store.close()


def test_a_bad_row_stops_the_load_or_is_counted_and_then_nothing_is_removed(shop: Shop) -> None:
    shop.load()
    shop.write(items=ITEMS.replace("JKT-1,Rain Jacket", "JKT-1,"), interactions=EVENTS + "e8,,TNT-1,purchase,1\n")
    with pytest.raises(LoadError, match=r"interactions.csv:8: user_id: empty"):
        shop.load()
    report = shop.load(OnError.SKIP)
    assert (report.items.bad_rows, report.interactions.bad_rows, report.items.removed) == (1, 1, 0)
    assert [str(bad).rpartition("/")[2] for bad in report.items.bad] == ["items.csv:2: title: empty"]


def test_a_table_without_items_and_a_missing_file_remove_nothing(shop: Shop) -> None:
    shop.load()
    shop.write(items="id,title\n")
    with pytest.raises(SourceError, match="no items"):
        shop.load()
    (shop.folder / "users.csv").unlink()
    with pytest.raises(SourceError, match="no such file"):
        shop.load()
    with CatalogWriter(shop.milvus.config) as writer:
        assert writer.count(schema.ITEMS) == 4


async def test_texts_with_control_characters_and_long_ones_are_loaded(shop: Shop) -> None:
    shop.write(
        items='id,title\nA,"Two\nlines\t""and"" \\ \x01"\nB,' + "긴" * 2_000 + "\n",
        interactions="user_id,item_id\n1,A\n",
    )
    shop.load()
    store = await shop.store()
    stored = await store.items(["A", "B"])
    assert stored["A"].item.title == 'Two lines "and" \\'
    assert stored["B"].item.title == "긴" * 341
    await store.close()


async def test_a_restart_keeps_everything_and_loads_the_collections(tmp_path: Path, own_milvus: MilvusLite) -> None:
    shop = Shop(tmp_path, own_milvus)
    shop.load()
    own_milvus.kill()
    own_milvus.start()
    store = await shop.store()
    assert len(await store.items(["JKT-1", "TNT-1", "MAT-1", "우산-1"])) == 4
    await store.close()
    assert shop.load().changes == 0


WRITE_UNTIL_KILLED = """
import sys
import numpy as np
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.pymilvus import MilvusClient
from recsys_gateway.catalog.searching import SearchRequest
from recsys_gateway.catalog.records import Interaction
from recsys_gateway.catalog.rows import interaction_row
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

class Encoder:
    dimension = 2

    def embed(self, texts):
        return np.ones((len(texts), 2), np.float32)

config = VectorStore.model_validate({"uri": sys.argv[1], "timeoutSeconds": 5})
with CatalogWriter(config, lambda count: print("acknowledged", count, flush=True)) as writer:
    prepare(writer, Encoder())
    for start in range(0, 1_000_000, 100):
        events = [Interaction(f"e{number}", "u", "i") for number in range(start, start + 100)]
        writer.append(schema.INTERACTIONS, [interaction_row(event, 0) for event in events])
"""


def test_what_was_acknowledged_survives_a_kill(own_milvus: MilvusLite) -> None:
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(own_milvus.config.uri)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as loader:
        assert loader.stdout is not None
        acknowledged = 0
        while acknowledged < 1_500 and (line := loader.stdout.readline()):
            acknowledged = int(line.split()[1])
        own_milvus.kill()
        loader.kill()
    assert acknowledged >= 1_500
    own_milvus.start()
    encoder = HashedWords()
    encoder.dimension = 2
    with CatalogWriter(own_milvus.config) as writer:
        prepare(writer, encoder)
        kept = {row["id"] for row in writer.all_rows(schema.INTERACTIONS, [])}
    assert {f"e{number}" for number in range(acknowledged)} <= kept


def test_a_load_cut_short_is_made_good_by_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unplugged(Exception):
        pass

    def unplugged(*_: object) -> None:
        raise Unplugged

    with monkeypatch.context() as patch:
        patch.setattr(CatalogWriter, "write", unplugged)
        with pytest.raises(Unplugged):
            shop.load()
    report = shop.load()
    assert (report.interactions.added, report.items.added, report.users.added) == (0, 4, 3)
    assert shop.load().changes == 0


@pytest.mark.parametrize("indexes", [0, 1])
async def test_a_collection_cut_short_of_its_indexes_gets_them_from_the_next_load(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, indexes: int
) -> None:
    """Milvus Lite searches without an index, but makes none twice; a Milvus server: test_milvus_server.py."""

    class Unplugged(Exception):
        pass

    create_index = MilvusClient.create_index

    def unplugged(client: MilvusClient, name: str, wanted: Any, **options: Any) -> None:
        done = wanted[:indexes] if name == schema.ITEMS else wanted
        if done:
            create_index(client, name, type(wanted)(done), **options)
        if name == schema.ITEMS:
            raise Unplugged

    with monkeypatch.context() as patch:
        patch.setattr(MilvusClient, "create_index", unplugged)
        with pytest.raises(Unplugged):
            shop.load()
    assert shop.load().items.added == 4
    store = await shop.store()
    text = HashedWords().embed(["Rain Jacket"])[0]
    found = await store.search(SearchRequest(text, "jacket", None, NO_FILTERS, limit=1))
    assert [hit.stored.item.id for hit in found] == ["JKT-1"]
    await store.close()


def test_no_milvus_is_one_clear_error() -> None:
    config = MilvusLite(Path("/nowhere")).config.model_copy(update={"timeout_seconds": 1.0})
    with pytest.raises(StoreUnavailable, match=str(config.uri)):
        CatalogWriter(config)


@pytest.mark.skipif("MOVIELENS_DIR" not in os.environ, reason="MOVIELENS_DIR names no MovieLens 100K folder")
async def test_movielens_is_loaded_whole(milvus: MilvusLite) -> None:
    table = {"uri": "file://${MOVIELENS_DIR}", "format": "movielens"}
    source = CatalogSource.model_validate({"items": table, "users": table, "interactions": table})
    with CatalogWriter(milvus.config) as writer:
        report = load_catalog(source, writer, HashedWords())
    assert (report.items.added, report.users.added, report.interactions.added) == (1682, 943, 100_000)
    store = await CatalogStore.connect(milvus.config)
    user = await store.user("196")
    assert user is not None
    assert user.traits == {"age": 49, "gender": "M", "occupation": "writer"}
    assert len(user.history) == 39
    assert len(await store.items(user.history)) == 39
    await store.close()
