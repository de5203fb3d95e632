"""Both clients against a running gateway: typed answers, refusals that say why, and no gateway at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recsys_gateway.api.catalog_schema import EventBody, ItemBody
from recsys_gateway.client import AsyncClient, Client, GatewayError, GatewayUnreachable
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status

from .conftest import MilvusLite


@pytest.fixture(scope="module")
def url(shared_milvus: MilvusLite, tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    load_small_shop(shared_milvus.config, folder)
    nobody = "http://127.0.0.1:9"
    with running_gateway(configuration(str(shared_milvus.config.uri), nobody, nobody), port(), folder) as (found, _):
        wait_for_status(found + "/readyz", 200)
        yield found


def test_the_client_that_blocks(url: str) -> None:
    client = Client(url)
    assert client.put_item("a/b ü", ItemBody(title="Slashed lamp", price=3)).created == 1
    assert client.item("a/b ü").price == 3
    assert client.put_items([{"id": "a/b ü", "title": "Slashed lamp"}]).updated == 1
    event = EventBody(id="c-1", user_id="cleo", item_id="a/b ü", type="purchase")
    assert client.add_events([event, event]).accepted == 1
    assert client.user("cleo").history == ["a/b ü"]
    assert client.put_user("cleo", {"traits": {"age": 3}}).updated == 1
    answer = client.recommend("lamp", user_id="cleo", k=3, rules={"pin": ["JKT-001"]}, explain=True)
    assert len(answer.items) == 3
    assert answer.items[0].id == "JKT-001"
    assert answer.items[0].confirmed_by[0] == "pinned"
    assert answer.explanation is not None
    assert [each.id for each in answer.explanation.journey[:3]] == [item.id for item in answer.items]
    assert client.similar("JKT-001", k=2).items
    client.erase_user("cleo")
    client.remove_item("a/b ü")
    with pytest.raises(GatewayError, match="no such item") as refused:
        client.item("a/b ü")
    assert (refused.value.status, refused.value.code) == (404, "not_found")
    with pytest.raises(GatewayError, match="price"):
        client.put_item("x", {"title": "x", "price": -1})


async def test_the_client_that_does_not_block(url: str) -> None:
    async with AsyncClient(url) as client:
        await asyncio.gather(*(client.put_item(f"async/{n}", {"title": f"Lamp {n}"}) for n in range(20)))
        assert (await client.item("async/7")).title == "Lamp 7"
        assert (
            await client.add_events([{"id": "x", "user_id": "u", "item_id": "async/7", "type": "view"}])
        ).accepted == 1
        assert (await client.recommend("lamp", k=2)).items
        with pytest.raises(GatewayError, match="no such user"):
            await client.user("nobody-at-all")


def test_rules_hold(url: str) -> None:
    client = Client(url)
    plain = client.recommend("jacket", k=5)
    first = plain.items[0]
    rules = {"must_not": {"id": first.id}, "must": {"price": {"lte": 120}}, "cap_per_category": 2}
    ruled = client.recommend("jacket", k=5, rules=rules)
    assert first.id not in [item.id for item in ruled.items]
    assert all(item.price is not None and item.price <= 120 for item in ruled.items)
    categories = [category for item in ruled.items for category in item.categories]
    assert max(map(categories.count, categories)) <= 2
    told = client.recommend("jacket", k=2, rules={"pin": ["never-heard-of"]}, explain=True).explanation
    assert told is not None
    assert told.not_pinned == {"never-heard-of": "unknown"}


async def test_no_gateway_at_all(port: Callable[[], int]) -> None:
    nowhere = f"127.0.0.1:{port()}"
    with pytest.raises(GatewayUnreachable):
        Client(nowhere).recommend("x")
    async with AsyncClient(nowhere) as client:
        with pytest.raises(GatewayUnreachable):
            await client.recommend("x")
