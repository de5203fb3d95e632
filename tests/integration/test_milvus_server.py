"""The catalogue on a real Milvus 2.3: dense vectors alone, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from milvus_server import running_milvus_server
from recsys_gateway.catalog import schema
from recsys_gateway.catalog.pymilvus import MilvusClient
from recsys_gateway.config import VectorStore
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Shop:
    url: str
    log: Path

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        response = requests.request(method, self.url + path, json=body, timeout=60)
        return response.status_code, response.json() if response.content else None

    def ask(self, **body: object) -> dict[str, Any]:
        status, answer = self.call("POST", "/v1/recommendations", {"narrate": False, **body})
        assert status == 200, answer
        assert not [each for each in answer["degraded"] if each["reason"] == "no_store"], answer["degraded"]
        return dict(answer)

    def titles(self, **body: object) -> list[str]:
        return [item["title"] for item in self.ask(**body)["items"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    """A Milvus 2.3, empty before the first test."""
    with running_milvus_server(tmp_path_factory.mktemp("old") / "milvus") as found:
        yield found


@pytest.fixture(scope="module")
def shop(store: VectorStore, tmp_path_factory: pytest.TempPathFactory, port: Callable[[], int]) -> Iterator[Shop]:
    """A gateway without engines on a loaded Milvus; loaded twice, as a second load must find what the first did."""
    folder = tmp_path_factory.mktemp("shop")
    load_small_shop(store, folder)
    load_small_shop(store, folder)
    config = configuration(str(store.uri), NOBODY, NOBODY)
    config["vectorStore"]["timeoutSeconds"] = 5
    with running_gateway(config, port(), folder) as (url, log):
        wait_for_status(url + "/readyz", 200)
        yield Shop(url, log)


# The first test also installs and starts the server.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("collection", [schema.CATALOG, schema.ITEMS, schema.INTERACTIONS])
def test_a_collection_cut_short_of_its_index_does_not_keep_the_next_load_from_it(
    store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: str
) -> None:
    """Before any whole load; each load here comes to the next collection, and the fixture's to the end."""

    class Unplugged(Exception):
        pass

    create_index = MilvusClient.create_index

    def unplugged(client: MilvusClient, name: str, *arguments: Any, **options: Any) -> None:
        if name == collection:
            raise Unplugged
        create_index(client, name, *arguments, **options)

    monkeypatch.setattr(MilvusClient, "create_index", unplugged)
    with pytest.raises(Unplugged):
        load_small_shop(store, tmp_path)


def test_items_are_found_by_what_their_texts_mean_and_by_filters(shop: Shop) -> None:
    assert any("jacket" in title.casefold() for title in shop.titles(query="a light jacket for rainy hikes", k=5))
    cheap = shop.ask(query="a light jacket", filters={"price": {"lte": 40}}, k=5)["items"]
    assert cheap
    assert all(item["price"] <= 40 for item in cheap)


def test_what_is_missing_is_said_in_the_log_once_and_in_readyz(shop: Shop) -> None:
    shop.ask(query="a jacket", user_id="17")
    shop.ask(query="a tent", user_id="17")
    _, ready = shop.call("GET", "/readyz")
    assert ready["parts"]["vectorStore"]["ready"]
    assert "key words" in ready["parts"]["vectorStore"]["detail"]
    lines = [json.loads(line) for line in shop.log.read_text().splitlines()]
    warnings = [line for line in lines if "key words" in json.dumps(line)]
    assert [line["level"] for line in warnings] == ["warning"]


def test_what_is_written_and_removed_counts_at_the_next_request(shop: Shop) -> None:
    lamp = {"title": "Zephyrine Reading Lamp", "categories": ["Lamps"], "attributes": {"watts": 5}}
    assert shop.call("PUT", "/v1/items/LMP-1", lamp) == (201, {"created": 1, "updated": 0})
    assert shop.titles(query="lamp", filters={"watts": {"lte": 5}}) == ["Zephyrine Reading Lamp"]
    assert shop.call("GET", "/v1/items/LMP-1")[1]["price"] is None
    assert shop.call("DELETE", "/v1/items/LMP-1")[0] == 204
    assert shop.call("GET", "/v1/items/LMP-1")[0] == 404


def test_events_are_counted_once_and_go_with_their_customer(shop: Shop) -> None:
    events = [{"id": f"e{n}", "user_id": "eve", "item_id": f"JKT-{n:03}", "type": "view"} for n in range(3)]
    events.append({"id": "e9", "user_id": "eve", "item_id": "JKT-009", "type": "dismiss"})
    assert shop.call("POST", "/v1/events", {"events": events}) == (200, {"accepted": 4, "duplicates": 0})
    assert shop.call("POST", "/v1/events", {"events": events}) == (200, {"accepted": 0, "duplicates": 4})
    _, eve = shop.call("GET", "/v1/users/eve")
    assert (eve["history"], eve["dismissed"]) == (["JKT-000", "JKT-001", "JKT-002"], ["JKT-009"])
    assert shop.call("DELETE", "/v1/users/eve")[0] == 204
    assert shop.call("GET", "/v1/users/eve")[0] == 404
    assert shop.call("POST", "/v1/events", {"events": events[:1]}) == (200, {"accepted": 1, "duplicates": 0})
