"""The writing side of the catalogue: one writer, rows in batches, each batch flushed before it is acknowledged."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.filters import literal
from recsys_gateway.catalog.rows import Row
from recsys_gateway.catalog.store import StoreUnavailable
from recsys_gateway.config import VectorStore

WRITE_TIMEOUT_SECONDS = 60.0
"""A flush may wait for others; a load is no request that somebody waits for."""

PAGE = 10_000
_SCHEMA_FACT = "schema"


class CatalogWriter:
    """Writes the collections. ``acknowledged`` counts the rows that a flush has made durable.

    One writer at a time: Milvus Lite loses rows where two write to a collection. Every method raises
    ``StoreUnavailable``.
    """

    def __init__(self, config: VectorStore, on_acknowledged: Callable[[int], None] = lambda count: None) -> None:
        self.acknowledged = 0
        self._config = config
        self._on_acknowledged = on_acknowledged
        # pymilvus logs each failed call with all that was in it.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = os.environ.get(config.token_env, "") if config.token_env else ""
        self._client = self._guarded(
            "connect", lambda: MilvusClient(uri=str(config.uri), token=token, timeout=config.timeout_seconds)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def prepare(self, dimension: int) -> None:
        """Create the collections that are not there, and load all of them.

        A catalogue of another schema version or text dimension is dropped, except for the interactions: the rest is
        made from the source and from them.
        """
        if not self._has(schema.CATALOG):
            self._guarded("create", lambda: schema.create_catalog(self._client, WRITE_TIMEOUT_SECONDS))
        self._load(schema.CATALOG)
        wanted = {"version": schema.SCHEMA_VERSION, "dimension": dimension}
        if self.fact(_SCHEMA_FACT) != wanted:
            for collection in (schema.ITEMS, schema.USERS):
                if self._has(collection):
                    self._guarded("drop", lambda name=collection: self._client.drop_collection(name))
        create = {
            schema.ITEMS: lambda: schema.create_items(self._client, dimension, WRITE_TIMEOUT_SECONDS),
            schema.USERS: lambda: schema.create_users(self._client, WRITE_TIMEOUT_SECONDS),
            schema.INTERACTIONS: lambda: schema.create_interactions(self._client, WRITE_TIMEOUT_SECONDS),
        }
        for collection, make in create.items():
            if not self._has(collection):
                self._guarded("create", make)
            self._load(collection)
        if self.fact(_SCHEMA_FACT) != wanted:
            self.set_fact(_SCHEMA_FACT, wanted)

    def stored(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        """Rows of ``collection`` by id; ids that are not there are absent."""
        if not ids:
            return {}
        expression = f"id in [{', '.join(map(literal, ids))}]"
        rows = self._guarded(
            "query",
            lambda: self._client.query(
                collection, filter=expression, output_fields=["id", *fields], timeout=WRITE_TIMEOUT_SECONDS
            ),
        )
        return {row["id"]: row for row in rows}

    def all_rows(self, collection: str, fields: Sequence[str]) -> Iterator[Row]:
        """Every row of ``collection``, in no order, a page at a time."""
        pages = self._guarded(
            "query",
            lambda: self._client.query_iterator(
                collection, batch_size=PAGE, output_fields=list(fields), timeout=WRITE_TIMEOUT_SECONDS
            ),
        )
        try:
            while page := self._guarded("query", pages.next):
                yield from page
        finally:
            pages.close()

    def count(self, collection: str) -> int:
        (row,) = self._guarded(
            "query",
            lambda: self._client.query(
                collection, filter="", output_fields=["count(*)"], timeout=WRITE_TIMEOUT_SECONDS
            ),
        )
        return int(row["count(*)"])

    def write(self, collection: str, rows: Sequence[Row]) -> None:
        """Insert or replace ``rows`` by their ids, flush, and acknowledge them."""
        if not rows:
            return
        self._guarded("upsert", lambda: self._client.upsert(collection, list(rows), timeout=WRITE_TIMEOUT_SECONDS))
        self._flush(collection)
        self.acknowledged += len(rows)
        self._on_acknowledged(self.acknowledged)

    def append(self, collection: str, rows: Sequence[Row]) -> None:
        """As ``write``, for rows whose ids are known to be new: quicker."""
        if not rows:
            return
        self._guarded("insert", lambda: self._client.insert(collection, list(rows), timeout=WRITE_TIMEOUT_SECONDS))
        self._flush(collection)
        self.acknowledged += len(rows)
        self._on_acknowledged(self.acknowledged)

    def remove(self, collection: str, ids: Sequence[str]) -> None:
        """Delete rows by id."""
        for start in range(0, len(ids), PAGE):
            expression = f"id in [{', '.join(map(literal, ids[start : start + PAGE]))}]"
            self._guarded(
                "delete",
                lambda ids=expression: self._client.delete(collection, filter=ids, timeout=WRITE_TIMEOUT_SECONDS),
            )
        if ids:
            self._flush(collection)

    def fact(self, name: str) -> Mapping[str, Any] | None:
        """What the catalogue says of itself under ``name``."""
        row = self.stored(schema.CATALOG, [name], ["value"]).get(name)
        return row["value"] if row else None

    def set_fact(self, name: str, value: Mapping[str, Any]) -> None:
        row = {"id": name, "value": dict(value), "unused": list(schema.UNUSED)}
        self._guarded("upsert", lambda: self._client.upsert(schema.CATALOG, [row], timeout=WRITE_TIMEOUT_SECONDS))
        self._flush(schema.CATALOG)

    def _has(self, collection: str) -> bool:
        return bool(self._guarded("describe", lambda: self._client.has_collection(collection)))

    def _load(self, collection: str) -> None:
        self._guarded("load", lambda: self._client.load_collection(collection, timeout=WRITE_TIMEOUT_SECONDS))

    def _flush(self, collection: str) -> None:
        self._guarded("flush", lambda: self._client.flush(collection, timeout=WRITE_TIMEOUT_SECONDS))

    def _guarded(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except MilvusException as error:
            raise StoreUnavailable(
                f"{self._config.uri}: {what}: {' '.join(str(error.message).split())[:300]}"
            ) from error
