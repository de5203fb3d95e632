"""Bring the collections of a store to the schema of this version: on the first start, and whenever it changed.

A collection of an older form is set aside under another name, copied row by row into the new form, and dropped at the
end. Whatever moment it is cut short at, the next start begins the copy again: nothing is dropped before the fact
``schema`` says that the new form is whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import creating, schema
from recsys_gateway.catalog.batches import batched
from recsys_gateway.catalog.failures import NewerSchema as NewerSchema  # exported: what ``prepare`` raises
from recsys_gateway.catalog.rows import Row, collaborative_of, content_hash, item_of, item_row
from recsys_gateway.catalog.writing import CatalogWriter

COPIED = 500
"""Rows that are copied at once."""
OLD = "_old"
_OTHERS = {
    schema.INTERACTIONS: creating.create_interactions,
    schema.STATISTICS: creating.create_statistics,
    schema.TOMBSTONES: creating.create_tombstones,
}

log = logging.getLogger(__name__)


class TextEmbedder(Protocol):
    """Unit vectors of texts, [n, dimension]."""

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


def prepare(writer: CatalogWriter, embedder: TextEmbedder) -> None:
    """Create the collections that are not there, bring older ones up to date, and load all of them.

    Raises:
        NewerSchema: the store is of a later version.
        StoreUnavailable: Milvus cannot be reached.
    """
    writer.create(schema.CATALOG, creating.create_catalog)
    found = writer.fact("schema")
    wanted = {
        "version": schema.SCHEMA_VERSION,
        "dimension": embedder.dimension,
        "keywords": writer.features.keywords,
        "several_vectors": writer.features.several_vectors,
    }
    if found.get("version", 0) > schema.SCHEMA_VERSION:
        raise NewerSchema(
            f"the catalogue has schema version {found['version']}, this recsys knows {schema.SCHEMA_VERSION}: "
            "start a newer recsys, or restore a backup into an empty store"
        )
    items = partial(_create_items, dimension=embedder.dimension)
    if found and found != wanted:
        log.info("migrating the catalogue", extra={"found": dict(found), "wanted": wanted})
        _copied(writer, schema.ITEMS, items, lambda rows: _items(writer, rows, embedder, found))
        if found["version"] < schema.SCHEMA_VERSION:
            _copied(writer, schema.USERS, creating.create_users, _users)
            # Counts are new in version 2: the next load makes them, and what follows from them.
            writer.set_fact("derived", {})
    writer.create(schema.ITEMS, items)
    writer.create(schema.USERS, creating.create_users)
    for collection, make in _OTHERS.items():
        writer.create(collection, make)
    if not found:
        writer.set_fact("encoder", encoder_fact(embedder))
    if found != wanted:
        writer.set_fact("schema", wanted)
    for collection in (schema.ITEMS, schema.USERS):
        if writer.has(collection + OLD):
            writer.drop(collection + OLD)


def encoder_fact(embedder: TextEmbedder) -> dict[str, str]:
    """What tells encoders apart, whatever their files are called: the vector of a fixed text."""
    return {"probe": content_hash(np.round(embedder.embed(["a light jacket"])[0], 2).tolist())}


def _create_items(client: Any, features: Any, timeout: float, *, dimension: int) -> None:
    creating.create_items(client, features, dimension, timeout)


def _copied(
    writer: CatalogWriter,
    collection: str,
    make: Callable[[Any, Any, float], None],
    convert: Callable[[list[Row]], list[Row]],
) -> None:
    """Set ``collection`` aside, once, and fill the new one from it, from the beginning."""
    old = collection + OLD
    if not writer.has(old):
        if not writer.has(collection):
            return
        writer.rename(collection, old)
    elif writer.has(collection):
        writer.drop(collection)  # the beginning of a copy that was cut short
    writer.load(old)
    writer.create(collection, make)
    for ids in batched([row["id"] for row in writer.all_rows(old, [])], COPIED):
        writer.append(collection, convert(list(writer.stored(old, ids, ["*"]).values())))


def _items(writer: CatalogWriter, rows: list[Row], embedder: TextEmbedder, found: Mapping[str, Any]) -> list[Row]:
    """Items in the form of this version. Vectors of another length are made again from the texts."""
    same = found["dimension"] == embedder.dimension
    items = [item_of(row) for row in rows]
    known = [np.asarray(row["text"], np.float32) for row in rows]
    vectors = known if same else embedder.embed([item.document for item in items])
    converted = []
    for row, item, vector in zip(rows, items, vectors, strict=True):
        # Version 1 hashed the source with the encoder's name: the next load finds another hash, and the same document.
        source = str(row.get("source_hash", row.get("content_hash", "")))
        converted.append(item_row(item, vector, collaborative_of(row), source, writer.features))
    return converted


def _users(rows: list[Row]) -> list[Row]:
    """Users of version 1: their histories were ids alone, and stay readable."""
    return [
        {
            "id": row["id"],
            "traits": row["traits"],
            "history": row["history"],
            "dismissed": [],
            "source_hash": row["content_hash"],
            "unused": list(schema.UNUSED),
        }
        for row in rows
    ]
