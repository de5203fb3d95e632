"""The collections of a catalogue in Milvus, and their limits.

``items`` holds what is searched; ``users`` and ``interactions`` are read by their keys; ``catalog`` holds a few facts
about the whole (fields that filters may use, popular items, the version of this schema). Milvus wants a vector in
every collection: where there is none to search, ``unused`` is one of two zeros.
"""

from __future__ import annotations

from typing import Any

from pymilvus import DataType, Function, FunctionType, MilvusClient

from recsys_gateway.catalog.collaborative import RANK
from recsys_gateway.catalog.limits import CATEGORIES, CATEGORY_BYTES, ID_BYTES, TEXT_BYTES, TITLE_BYTES

SCHEMA_VERSION = 1
"""Written with the catalogue. A store of another version is rebuilt by the loader, except for its interactions."""

ITEMS = "items"
USERS = "users"
INTERACTIONS = "interactions"
CATALOG = "catalog"

REVISION = "revision"
"""The fact that names the state of the items: a random id, so that no two stores share one."""

COLLABORATIVE_DIMENSION = 2 * RANK
HISTORY_LENGTH = 100
"""Latest items kept with a user."""

UNUSED = (0.0, 0.0)

ITEM_FIELDS = (
    "id",
    "title",
    "description",
    "categories",
    "price",
    "in_stock",
    "attributes",
    "popularity",
    "text",
    "collaborative",
)
"""What is read of an item: without a list everything comes back, the sparse vector and the document too."""

USER_FIELDS = ("id", "traits", "history")
INTERACTION_FIELDS = ("user_id", "item_id", "timestamp", "position")


def create_items(client: Any, dimension: int, timeout: float) -> None:
    """Create ``items`` with text vectors of ``dimension``."""
    schema = _schema()
    schema.add_field("title", DataType.VARCHAR, max_length=TITLE_BYTES)
    schema.add_field("description", DataType.VARCHAR, max_length=TEXT_BYTES)
    schema.add_field(
        "categories",
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_capacity=CATEGORIES,
        max_length=CATEGORY_BYTES,
    )
    schema.add_field("price", DataType.DOUBLE, nullable=True)
    schema.add_field("in_stock", DataType.BOOL)
    schema.add_field("attributes", DataType.JSON)
    schema.add_field("popularity", DataType.DOUBLE)
    schema.add_field("content_hash", DataType.VARCHAR, max_length=64)
    schema.add_field(
        "document",
        DataType.VARCHAR,
        max_length=TEXT_BYTES,
        enable_analyzer=True,
        analyzer_params={"type": "standard"},
    )
    schema.add_field("keywords", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("text", DataType.FLOAT_VECTOR, dim=dimension)
    schema.add_field("collaborative", DataType.FLOAT_VECTOR, dim=COLLABORATIVE_DIMENSION)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["document"],
            output_field_names=["keywords"],
        )
    )
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("text", index_type="AUTOINDEX", metric_type="COSINE")
    indexes.add_index("collaborative", index_type="AUTOINDEX", metric_type="IP")
    indexes.add_index("keywords", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    client.create_collection(ITEMS, schema=schema, index_params=indexes, timeout=timeout)


def create_users(client: Any, timeout: float) -> None:
    schema = _schema()
    schema.add_field("traits", DataType.JSON)
    schema.add_field("history", DataType.JSON)
    schema.add_field("content_hash", DataType.VARCHAR, max_length=64)
    _create_unsearched(client, USERS, schema, timeout)


def create_interactions(client: Any, timeout: float) -> None:
    """Append-only; the key is the event's id, which makes an event that comes twice one event."""
    schema = _schema()
    for name in ("user_id", "item_id", "type"):
        schema.add_field(name, DataType.VARCHAR, max_length=ID_BYTES)
    schema.add_field("value", DataType.DOUBLE, nullable=True)
    schema.add_field("timestamp", DataType.DOUBLE)
    schema.add_field("position", DataType.INT64)
    _create_unsearched(client, INTERACTIONS, schema, timeout)


def create_catalog(client: Any, timeout: float) -> None:
    schema = _schema()
    schema.add_field("value", DataType.JSON)
    _create_unsearched(client, CATALOG, schema, timeout)


def _schema() -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
    return schema


def _create_unsearched(client: Any, name: str, schema: Any, timeout: float) -> None:
    schema.add_field("unused", DataType.FLOAT_VECTOR, dim=len(UNUSED))
    indexes = MilvusClient.prepare_index_params()
    indexes.add_index("unused", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=indexes, timeout=timeout)
