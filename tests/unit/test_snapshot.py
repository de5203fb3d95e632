"""What is kept of the catalogue in memory: when it is taken anew, and what is said of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.filters import ITEM_FIELDS, FieldKind
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend import snapshot
from recsys_gateway.recommend.snapshot import REFRESH_SECONDS, SnapshotKeeper


class Store:
    """A store whose items, revision and health a test sets."""

    def __init__(self) -> None:
        self.titles = ["Tent"]
        self.now_at = "1"
        self.gone = self.hung = False
        self.taken = 0

    async def revision(self) -> str:
        if self.hung:
            await asyncio.Event().wait()
        if self.gone:
            raise StoreUnavailable("not reachable")
        return self.now_at

    async def popular(self, limit: int) -> Sequence[StoredItem]:
        if self.gone:
            raise StoreUnavailable("not reachable")
        self.taken += 1
        return [StoredItem(Item(title, title), np.ones(2, np.float32), None, 0.0) for title in self.titles]

    async def read_counts(self) -> None:
        return

    async def fields(self) -> Mapping[str, FieldKind]:
        if self.hung:
            await asyncio.Event().wait()
        if self.gone:
            raise StoreUnavailable("not reachable")
        return {**ITEM_FIELDS, "brand": FieldKind.TEXT}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(store: Store, clock: Clock) -> SnapshotKeeper:
    return SnapshotKeeper(store, clock)  # type: ignore[arg-type]  # searches are not the keeper's


async def test_what_a_load_removed_is_gone_from_memory_at_the_next_look(store: Store, keeper: SnapshotKeeper) -> None:
    await keeper.look()
    assert keeper.latest.titles == ("Tent",)
    store.titles, store.now_at = ["Lamp"], "2"
    await keeper.look()
    assert keeper.latest.titles == ("Lamp",)


async def test_a_catalogue_that_stays_is_read_again_only_once_a_minute(
    store: Store, keeper: SnapshotKeeper, clock: Clock
) -> None:
    for _ in range(5):
        await keeper.look()
    assert store.taken == 1
    clock.now = REFRESH_SECONDS + 1
    await keeper.look()
    assert store.taken == 2


async def test_an_outage_and_its_end_are_seen_at_the_next_look(store: Store, keeper: SnapshotKeeper) -> None:
    await keeper.look()
    assert (keeper.reachable, keeper.problem) == (True, "")
    store.gone = True
    await keeper.look()
    assert (keeper.reachable, keeper.problem) == (False, "not reachable")
    assert keeper.latest.titles == ("Tent",)
    store.gone = False
    await keeper.look()
    assert keeper.reachable


async def test_a_store_that_hangs_is_away(
    store: Store, keeper: SnapshotKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LOOK_TIMEOUT_SECONDS", 0.05)
    await keeper.look()
    store.hung = True
    await keeper.look()
    assert not keeper.reachable
    assert "no answer" in keeper.problem


async def test_a_store_without_items_is_not_ready(store: Store, keeper: SnapshotKeeper) -> None:
    store.titles = []
    await keeper.look()
    assert not keeper.reachable
    assert "no items" in keeper.problem


async def test_a_request_that_finds_the_store_away_is_believed_until_the_next_look(keeper: SnapshotKeeper) -> None:
    await keeper.look()
    keeper.lost("gone")
    assert not keeper.reachable
    await keeper.look()
    assert keeper.reachable


async def test_fields_are_waited_for_only_so_long(store: Store, keeper: SnapshotKeeper) -> None:
    assert "brand" in await keeper.fields({"brand": "Nord"}, 1)
    store.hung = True
    assert await keeper.fields({"brand": "Nord"}, 0.05) == ITEM_FIELDS
