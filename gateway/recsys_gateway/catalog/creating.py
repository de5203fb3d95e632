"""Create the collections of a catalogue in Milvus, or what of them is not there."""

from __future__ import annotations

from typing import Any

from recsys_gateway.catalog.engine_features import EngineFeatures
from recsys_gateway.catalog.limits import CATEGORIES, CATEGORY_BYTES, ID_BYTES, TEXT_BYTES, TITLE_BYTES
from recsys_gateway.catalog.pymilvus import DataType, Function, FunctionType, MilvusClient
from recsys_gateway.catalog.schema import (
    CATALOG,
    COLLABORATIVE_DIMENSION,
    INTERACTIONS,
    ITEMS,
    STATISTICS,
    TOMBSTONES,
    UNUSED,
    USERS,
)

CONSISTENCY = "Session"
"""A reader sees what its own process has written, and does not wait for what others write."""


def create_items(client: Any, features: EngineFeatures, dimension: int, timeout: float) -> None:
    """Create ``items`` with text vectors of ``dimension``.

    ``source_hash`` is of what a table said of the item when it was last loaded; empty: only the API did.
    """
    schema, indexes = _schema(), MilvusClient.prepare_index_params()
    schema.add_field("title", DataType.VARCHAR, max_length=TITLE_BYTES)
    schema.add_field("description", DataType.VARCHAR, max_length=TEXT_BYTES)
    schema.add_field(
        "categories",
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_capacity=CATEGORIES,
        max_length=CATEGORY_BYTES,
    )
    schema.add_field("price", DataType.DOUBLE, **_nullable(features))
    schema.add_field("in_stock", DataType.BOOL)
    schema.add_field("attributes", DataType.JSON)
    schema.add_field("source_hash", DataType.VARCHAR, max_length=64)
    schema.add_field("document_hash", DataType.VARCHAR, max_length=64)
    schema.add_field("text", DataType.FLOAT_VECTOR, dim=dimension)
    indexes.add_index("text", index_type="AUTOINDEX", metric_type="COSINE")
    if features.several_vectors:
        schema.add_field("collaborative", DataType.FLOAT_VECTOR, dim=COLLABORATIVE_DIMENSION)
        indexes.add_index("collaborative", index_type="AUTOINDEX", metric_type="IP")
    _add_document(schema, indexes, features)
    _create(client, ITEMS, schema, indexes, timeout)


def _add_document(schema: Any, indexes: Any, features: EngineFeatures) -> None:
    """The text of an item, and the sparse vector that Milvus makes of it where it can."""
    if not features.keywords:
        schema.add_field("document", DataType.VARCHAR, max_length=TEXT_BYTES)
        return
    schema.add_field(
        "document",
        DataType.VARCHAR,
        max_length=TEXT_BYTES,
        enable_analyzer=True,
        analyzer_params={"type": "standard"},
    )
    schema.add_field("keywords", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["document"],
            output_field_names=["keywords"],
        )
    )
    indexes.add_index("keywords", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")


def create_users(client: Any, _features: EngineFeatures, timeout: float) -> None:
    """``history`` is a list of [item id, timestamp, position], in the order of time."""
    schema = _schema()
    schema.add_field("traits", DataType.JSON)
    schema.add_field("history", DataType.JSON)
    schema.add_field("dismissed", DataType.JSON)
    schema.add_field("source_hash", DataType.VARCHAR, max_length=64)
    _create_unsearched(client, USERS, schema, timeout)


def create_interactions(client: Any, features: EngineFeatures, timeout: float) -> None:
    """Append-only; the key is the event's id, which makes an event that comes twice one event."""
    schema = _schema()
    for name in ("user_id", "item_id", "type"):
        schema.add_field(name, DataType.VARCHAR, max_length=ID_BYTES)
    schema.add_field("value", DataType.DOUBLE, **_nullable(features))
    schema.add_field("timestamp", DataType.DOUBLE)
    schema.add_field("position", DataType.INT64)
    _create_unsearched(client, INTERACTIONS, schema, timeout)


def create_statistics(client: Any, _features: EngineFeatures, timeout: float) -> None:
    schema = _schema()
    schema.add_field("events", DataType.INT64)
    _create_unsearched(client, STATISTICS, schema, timeout)


def create_tombstones(client: Any, _features: EngineFeatures, timeout: float) -> None:
    """Keys alone: digests, so that nothing of an erased customer stays."""
    _create_unsearched(client, TOMBSTONES, _schema(), timeout)


def create_catalog(client: Any, _features: EngineFeatures, timeout: float) -> None:
    schema = _schema()
    schema.add_field("value", DataType.JSON)
    _create_unsearched(client, CATALOG, schema, timeout)


def _nullable(features: EngineFeatures) -> dict[str, Any]:
    return {"nullable": True} if features.nullable else {}


def _schema() -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
    return schema


def _create_unsearched(client: Any, name: str, schema: Any, timeout: float) -> None:
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=len(UNUSED))
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("unused", index_type="FLAT", metric_type="L2")
    _create(client, name, schema, indexes, timeout)


def _create(client: Any, name: str, schema: Any, indexes: Any, timeout: float) -> None:
    """Whatever is missing: a creation that was cut short goes on."""
    if not client.has_collection(name, timeout=timeout):
        client.create_collection(name, schema=schema, timeout=timeout, consistency_level=CONSISTENCY)
    missing = MilvusClient.prepare_index_params()
    missing.extend(index for index in indexes if not client.list_indexes(name, index.field_name, timeout=timeout))
    if missing:
        # The client would look every half second whether an index is built: over nothing, it is at once.
        client.create_index(name, missing, timeout=timeout, sync=False)
