"""The whole catalogue as a folder of Parquet files, and back: one file a collection, vectors included.

A backup is taken while the system runs. What is written meanwhile may be in it or not; each row is whole. Facts are
read first and events last, so that a restored catalogue never claims to know more events than it has: the next load
puts right what follows from events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.batches import batched
from recsys_gateway.catalog.migration import prepare
from recsys_gateway.catalog.rows import Row
from recsys_gateway.catalog.writing import CatalogWriter

FORMAT = 1
ROWS = 1_000
MANIFEST = "manifest.json"
_FIELDS = {
    schema.CATALOG: ("id", "fact"),
    schema.TOMBSTONES: ("id",),
    schema.STATISTICS: ("id", "events"),
    schema.USERS: ("id", "traits", "history", "dismissed", "source_hash"),
    schema.ITEMS: (*schema.ITEM_FIELDS, "source_hash", "document_hash", "document"),
    schema.INTERACTIONS: ("id", "user_id", "item_id", "type", "value", "timestamp", "position"),
}
_JSON = frozenset({"fact", "traits", "history", "dismissed", "attributes"})
_STORED = {"fact": "value"}
"""Names in the files that differ from those in the store: a fact is JSON, an event's value a number."""
_VECTORS = frozenset({"text", "collaborative"})


class BackupError(Exception):
    """A folder that is no backup, or a store that is not empty; the message says what to do."""


def backup(writer: CatalogWriter, folder: Path) -> dict[str, int]:
    """Write the catalogue into ``folder``, which must be new or empty; the rows of each collection.

    Raises:
        BackupError: there is something in the folder, or nothing in the store.
        StoreUnavailable: Milvus cannot be reached.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder}: not an empty folder; name a new one")
    if not writer.has(schema.CATALOG) or not (form := writer.fact("schema")):
        raise BackupError("there is no catalogue to back up; load one first")
    if form["version"] != schema.SCHEMA_VERSION:
        raise BackupError(f"the catalogue has schema version {form['version']}: start the system once to migrate it")
    folder.mkdir(parents=True, exist_ok=True)
    counts = {}
    for collection, fields in _FIELDS.items():
        known = [name for name in fields if name != "collaborative" or writer.features.several_vectors]
        if not writer.has(collection):
            raise BackupError("there is no whole catalogue; load one first")
        writer.load(collection)
        counts[collection] = _export(writer, collection, known, folder / f"{collection}.parquet")
    manifest = {"format": FORMAT, "schema": dict(form), "rows": counts}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    return counts


def restore(writer: CatalogWriter, folder: Path, *, replace: bool = False) -> dict[str, int]:
    """Fill an empty store from ``folder``; the rows of each collection. With ``replace`` what it holds goes first.

    A restore that is cut short is to be run again: a fact says that it has begun, until it has ended.

    Raises:
        BackupError: the folder is no backup, or the store holds a catalogue.
        StoreUnavailable: Milvus cannot be reached.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BackupError(f"{folder}: no backup of a catalogue ({MANIFEST} is missing or unreadable)") from None
    if manifest.get("format") != FORMAT or manifest["schema"]["version"] != schema.SCHEMA_VERSION:
        raise BackupError(f"{folder}: written by another version of recsys; restore it with that one")
    begun = writer.has(schema.CATALOG) and bool(writer.fact("restoring"))
    if writer.has(schema.ITEMS) and not begun:
        writer.load(schema.ITEMS)
        if writer.count(schema.ITEMS) and not replace:
            raise BackupError("the store holds a catalogue: with --replace it goes, and the backup takes its place")
        for collection in _FIELDS:
            if writer.has(collection):
                writer.drop(collection)
    prepare(writer, _Encoder(manifest["schema"]["dimension"]))
    writer.set_fact("restoring", {"begun": True})
    counts = {}
    for collection in reversed(_FIELDS):
        counts[collection] = 0
        for rows in batched(_rows(folder / f"{collection}.parquet"), ROWS):
            writer.write(collection, [_completed(collection, row, writer) for row in rows])
            counts[collection] += len(rows)
    writer.remove(schema.CATALOG, ["restoring"])
    writer.flush()
    return counts


def _export(writer: CatalogWriter, collection: str, fields: Sequence[str], path: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    form = pa.schema([(name, _type(name)) for name in fields])
    count = 0
    with parquet.ParquetWriter(path, form, compression="zstd") as file:
        for rows in batched(writer.all_rows(collection, _stored_names(fields), page=ROWS), ROWS):
            columns = {name: [_exported(name, row[_STORED.get(name, name)]) for row in rows] for name in fields}
            file.write_table(pa.table(columns, schema=form))
            count += len(rows)
    return count


def _stored_names(fields: Sequence[str]) -> list[str]:
    return [_STORED.get(name, name) for name in fields if name != "id"]


def _type(name: str) -> Any:
    import pyarrow as pa

    if name in _VECTORS:
        return pa.list_(pa.float32())
    numbers = {
        "price": pa.float64(),
        "value": pa.float64(),
        "timestamp": pa.float64(),
        "position": pa.int64(),
        "events": pa.int64(),
        "in_stock": pa.bool_(),
        "categories": pa.list_(pa.string()),
    }
    return numbers.get(name, pa.string())


def _exported(name: str, value: Any) -> Any:
    """JSON as text; a number that is not there as null, whatever Milvus writes for it."""
    if name in _JSON:
        return json.dumps(value)
    if name in ("price", "value") and value == schema.NO_NUMBER:
        return None
    return list(value) if name in _VECTORS or name == "categories" else value


def _rows(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS):
                yield from batch.to_pylist()
    except (OSError, ArrowException) as error:
        raise BackupError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from None


def _completed(collection: str, row: Row, writer: CatalogWriter) -> Row:
    made = {_STORED.get(name, name): json.loads(value) if name in _JSON else value for name, value in row.items()}
    if not writer.features.several_vectors:
        made.pop("collaborative", None)
    elif collection == schema.ITEMS and made.get("collaborative") is None:
        made["collaborative"] = [0.0] * schema.COLLABORATIVE_DIMENSION
    for name in ("price", "value"):
        if collection in (schema.ITEMS, schema.INTERACTIONS) and name in made and made[name] is None:
            made[name] = None if writer.features.nullable else schema.NO_NUMBER
    return made if collection == schema.ITEMS else {**made, "unused": list(schema.UNUSED)}


class _Encoder:
    """Stands for the encoder of a backup, whose vectors are there already."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), self.dimension), np.float32)
