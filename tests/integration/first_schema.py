"""A catalogue in the form of schema version 1, as recsys wrote it: histories of ids, popularity in the items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_gateway.catalog.pymilvus import DataType, Function, FunctionType, MilvusClient
from recsys_gateway.catalog.records import Interaction, Item
from recsys_gateway.catalog.rows import content_hash
from recsys_gateway.config import VectorStore

COLLABORATIVE = 192


@dataclass(frozen=True)
class FirstCatalogue:
    """What a store holds. ``vectors`` and ``histories`` go by the ids of items and users."""

    items: Sequence[Item]
    vectors: Mapping[str, Sequence[float]]
    traits: Mapping[str, Mapping[str, Any]]
    histories: Mapping[str, Sequence[str]]
    events: Sequence[Interaction]


def write_first_schema(config: VectorStore, catalogue: FirstCatalogue) -> None:
    client = MilvusClient(uri=str(config.uri), dedicated=True)
    dimension = len(next(iter(catalogue.vectors.values())))
    _create_items(client, dimension)
    _create(client, "users", {"traits": DataType.JSON, "history": DataType.JSON, "content_hash": DataType.VARCHAR})
    _create(
        client,
        "interactions",
        {
            "user_id": DataType.VARCHAR,
            "item_id": DataType.VARCHAR,
            "type": DataType.VARCHAR,
            "value": DataType.DOUBLE,
            "timestamp": DataType.DOUBLE,
            "position": DataType.INT64,
        },
    )
    _create(client, "catalog", {"value": DataType.JSON})
    client.insert("items", [_item(item, catalogue.vectors[item.id]) for item in catalogue.items])
    client.insert("users", [_user(key, traits, catalogue) for key, traits in catalogue.traits.items()])
    client.insert("interactions", [_event(event, place) for place, event in enumerate(catalogue.events)])
    facts = {
        "schema": {"version": 1, "dimension": dimension},
        "derived": {"events": len(catalogue.events)},
        "fields": {name: "number" for item in catalogue.items for name in item.attributes},
        "popular": {"ids": [item.id for item in catalogue.items[:10]]},
        "revision": {"id": "first"},
    }
    client.upsert("catalog", [{"id": name, "value": value, "unused": [0.0, 0.0]} for name, value in facts.items()])
    for name in ("items", "users", "interactions", "catalog"):
        client.flush(name)
    client.close()


def _schema() -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=256)
    return schema


def _create_items(client: MilvusClient, dimension: int) -> None:
    schema, indexes = _schema(), MilvusClient.prepare_index_params()
    schema.add_field("title", DataType.VARCHAR, max_length=1_024)
    schema.add_field("description", DataType.VARCHAR, max_length=65_535)
    schema.add_field("categories", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=64, max_length=256)
    schema.add_field("price", DataType.DOUBLE, nullable=True)
    schema.add_field("in_stock", DataType.BOOL)
    schema.add_field("attributes", DataType.JSON)
    schema.add_field("popularity", DataType.DOUBLE)
    schema.add_field("content_hash", DataType.VARCHAR, max_length=64)
    analyzer = {"type": "standard"}
    schema.add_field("document", DataType.VARCHAR, max_length=65_535, enable_analyzer=True, analyzer_params=analyzer)
    schema.add_field("keywords", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("text", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("collaborative", DataType.FLOAT_VECTOR, dim=COLLABORATIVE)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["document"],
            output_field_names=["keywords"],
        )
    )
    indexes.add_index("text", index_type="AUTOINDEX", metric_type="COSINE")
    indexes.add_index("collaborative", index_type="AUTOINDEX", metric_type="IP")
    indexes.add_index("keywords", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection("items", schema=schema, index_params=indexes)


def _create(client: MilvusClient, name: str, fields: Mapping[str, DataType]) -> None:
    schema, indexes = _schema(), MilvusClient.prepare_index_params()
    for field, kind in fields.items():
        more: dict[str, Any] = {"max_length": 256} if kind == DataType.VARCHAR else {}
        schema.add_field(field, kind, **more, **({"nullable": True} if field == "value" and name != "catalog" else {}))
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)
    indexes.add_index("unused", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=indexes)


def _item(item: Item, vector: Sequence[float]) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "description": item.description,
        "categories": list(item.categories),
        "price": item.price,
        "in_stock": item.in_stock,
        "attributes": dict(item.attributes),
        "popularity": 0.01,
        "content_hash": content_hash(["v1", item.id]),
        "document": item.document,
        "text": list(vector),
        "collaborative": [0.5] * COLLABORATIVE,
    }


def _user(key: str, traits: Mapping[str, Any], catalogue: FirstCatalogue) -> dict[str, Any]:
    return {
        "id": key,
        "traits": dict(traits),
        "history": list(catalogue.histories[key]),
        "content_hash": content_hash([key, dict(traits)]),
        "unused": [0.0, 0.0],
    }


def _event(event: Interaction, place: int) -> dict[str, Any]:
    return {
        "id": event.id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "type": event.type,
        "value": event.value,
        "timestamp": event.timestamp,
        "position": place,
        "unused": [0.0, 0.0],
    }
