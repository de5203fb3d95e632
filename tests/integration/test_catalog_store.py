"""The reading side against a real Milvus Lite: each arm finds, filters hold, an outage is one error and passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.collaborative import item_vectors
from recsys_gateway.catalog.failures import StoreRefused, StoreUnavailable
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, FieldKind, Filters, parse_filters
from recsys_gateway.catalog.histories import PastEvent
from recsys_gateway.catalog.limits import BadValue
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.catalog.rows import item_row, statistics_row, user_row
from recsys_gateway.catalog.searching import SearchRequest
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.catalog.user_vectors import RANK, user_vector
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

from .conftest import MilvusLite

DIMENSION = 4
CATALOGUE = [
    Item("A", "Rain jacket", "waterproof", ("Jackets",), 80.0, attributes={"brand": "Nord"}),
    Item("B", "Wool jumper", "warm", ("Jumpers",), 60.0, attributes={"brand": "Sud"}),
    Item("C", "비옷", "비 오는 날", ("Jackets",), 30.0, attributes={"brand": "Nord"}),
    Item("D", "Sold out rain hat", "waterproof", ("Hats",), 20.0, in_stock=False),
    Item("E", "New tent", "", ("Tents",)),
]
FIELDS = {**ITEM_FIELDS, "brand": FieldKind.TEXT}


class Encoder:
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([direction(0) for _ in texts])


def direction(index: int) -> np.ndarray:
    return np.eye(DIMENSION, dtype=np.float32)[index]


def fill(milvus: MilvusLite) -> None:
    """Texts point along different axes; B follows on A in every history; E has no events."""
    vectors = item_vectors(np.repeat(np.arange(3), 3), np.tile([0, 1, 3], 3), 5)
    with CatalogWriter(milvus.config) as writer:
        prepare(writer, Encoder())
        writer.write(
            schema.ITEMS,
            [
                item_row(item, direction(number % DIMENSION), vector if vector.any() else None, "")
                for number, (item, vector) in enumerate(zip(CATALOGUE, vectors, strict=True))
            ],
        )
        writer.write(schema.USERS, [user_row(User("u", {"age": 3}), [PastEvent(1, 0, "A")], "")])
        writer.set_fact("fields", {"brand": "text"})
        counts = {"D": 9, "B": 8, "gone": 7, "A": 6}
        writer.write(schema.STATISTICS, [statistics_row(item_id, count) for item_id, count in counts.items()])


@pytest.fixture(scope="module")
def filled(shared_milvus: MilvusLite) -> MilvusLite:
    fill(shared_milvus)
    return shared_milvus


@pytest.fixture
async def store(filled: MilvusLite) -> AsyncIterator[CatalogStore]:
    opened = await CatalogStore.connect(filled.config)
    await opened.read_counts()
    yield opened
    await opened.close()


def request(**arms: object) -> SearchRequest:
    return SearchRequest(
        **{"text": None, "keywords": "", "user_vector": None, "filters": NO_FILTERS, "limit": 5, **arms}
    )  # type: ignore[arg-type]  # fields by name


async def found(store: CatalogStore, **arms: object) -> list[str]:
    return [hit.stored.item.id for hit in await store.search(request(**arms))]


async def test_the_text_arm_finds_what_is_near(store: CatalogStore) -> None:
    assert (await found(store, text=direction(1)))[0] == "B"


async def test_the_keyword_arm_finds_words_in_any_script_and_only_those(store: CatalogStore) -> None:
    assert await found(store, keywords="waterproof") == ["A"]
    assert await found(store, keywords="비옷") == ["C"]
    assert await found(store, keywords="nothing-like-it") == []


async def test_the_collaborative_arm_finds_what_follows_on_the_history(store: CatalogStore) -> None:
    history = await store.items(["A"])
    vector = history["A"].collaborative
    assert vector is not None
    sought = user_vector([vector])
    assert sought is not None
    assert sought.shape == (2 * RANK,)
    assert (await found(store, user_vector=sought))[0] == "B"
    assert (await store.items(["E"]))["E"].collaborative is None


async def test_arms_are_fused_and_what_two_arms_find_comes_first(store: CatalogStore) -> None:
    hits = await store.search(request(text=direction(2), keywords="rain jacket jumper", limit=3))
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hits[0].stored.item.id, hits[1].stored.item.id} <= {"A", "B", "C"}


async def test_filters_exclusions_and_stock_hold_in_every_arm(store: CatalogStore) -> None:
    arms = {"text": direction(3), "keywords": "waterproof rain", "user_vector": np.ones(2 * RANK, np.float32)}
    assert "D" not in await found(store, **arms)
    nord = parse_filters({"brand": "Nord", "price": {"lte": 50}}, FIELDS)
    assert await found(store, **arms, filters=nord) == ["C"]
    assert set(await found(store, **arms, excluded=["A", 'quote"d', ""])) == {"B", "C", "E"}
    assert await found(store, **arms, filters=parse_filters({"categories": "Boats"}, FIELDS)) == []


async def test_odd_input_is_no_error(store: CatalogStore) -> None:
    assert await found(store) == []
    assert await found(store, text=np.zeros(DIMENSION, np.float32)) == []
    assert await found(store, keywords="!!! ???") == []
    assert await found(store, keywords="\ud800 \x00 " + "rain " * 30_000) == ["A"]
    assert await store.user("no such") is None
    for odd in ("", "\ud800", "x" * 100_000, '"] or id != ["', "\n"):
        assert await store.user(odd) is None
        assert await store.items([odd]) == {}
    assert await store.items([]) == {}
    with pytest.raises(ValueError, match="not finite"):
        await store.search(request(text=np.full(DIMENSION, np.nan, np.float32)))


def test_a_vector_that_is_not_finite_is_not_stored() -> None:
    with pytest.raises(BadValue, match="text"):
        item_row(CATALOGUE[0], np.full(DIMENSION, np.inf, np.float32), None, "")


async def test_popular_items_are_in_stock_pass_the_filters_and_are_filled_up(store: CatalogStore) -> None:
    popular = [each.item.id for each in await store.popular(10)]
    assert popular[:2] == ["B", "A"]
    assert set(popular) == {"A", "B", "C", "E"}
    assert [each.item.id for each in await store.popular(1)] == ["B"]
    assert {each.item.id for each in await store.popular(5, parse_filters({"brand": "Nord"}, FIELDS))} == {"A", "C"}


async def test_fields_name_what_filters_may_use(store: CatalogStore) -> None:
    assert await store.fields() == FIELDS


async def test_a_call_that_is_refused_is_no_outage_and_its_expression_stays_out_of_the_log(
    store: CatalogStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Filters):
        def expression(self) -> str:
            return 'title === "private"'

    with pytest.raises(StoreRefused, match="refused"):
        await found(store, keywords="rain", filters=Broken())
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert isinstance(record.__dict__["code"], int)
    assert "private" not in caplog.text


async def test_many_calls_at_once_are_answered(store: CatalogStore) -> None:
    answers = await asyncio.gather(*(found(store, text=direction(1)) for _ in range(20)))
    assert {answer[0] for answer in answers} == {"B"}


async def test_an_outage_is_quickly_said_and_passes(own_milvus: MilvusLite) -> None:
    fill(own_milvus)
    store = await CatalogStore.connect(own_milvus.config)
    assert await store.user("u") == User("u", {"age": 3}, ("A",))
    own_milvus.kill()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await store.search(request(text=direction(1)))
        assert time.monotonic() - began < 2
    own_milvus.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert (await found(store, text=direction(1)))[0] == "B"
            break
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    else:
        pytest.fail("the store did not come back by itself")
    await store.close()


async def test_without_a_catalogue_it_says_to_load_one(own_milvus: MilvusLite) -> None:
    with pytest.raises(StoreUnavailable, match="load a catalogue"):
        await CatalogStore.connect(own_milvus.config)


async def test_without_milvus_connecting_fails_within_the_timeout() -> None:
    nobody = VectorStore.model_validate({"uri": "http://127.0.0.1:1", "timeoutSeconds": 1})
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await CatalogStore.connect(nobody)
