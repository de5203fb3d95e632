"""The writing side of the catalogue: one writer, rows in batches, each batch flushed before it is acknowledged."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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

PAGE = 16_000
"""Rows a call: Milvus gives at most 16,384."""


class CatalogWriter:
    """Writes the collections. ``acknowledged`` counts the rows that a flush has made durable.

    One writer at a time: Milvus Lite loses rows where two write to a collection. Every method raises
    ``StoreUnavailable``.
    """

    def __init__(self, config: VectorStore, on_acknowledged: Callable[[int], None] | None = None) -> None:
        self.acknowledged = 0
        self._uri = str(config.uri)
        self._on_acknowledged = on_acknowledged
        # pymilvus logs each failed call with all that was in it.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = os.environ.get(config.token_env, "") if config.token_env else ""
        with self._reaching("connect"):
            self._client = MilvusClient(uri=self._uri, token=token, timeout=config.timeout_seconds)

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
        self._ensure(schema.CATALOG, schema.create_catalog)
        wanted = {"version": schema.SCHEMA_VERSION, "dimension": dimension}
        if self.fact("schema") != wanted:
            with self._reaching("drop"):
                for collection in (schema.ITEMS, schema.USERS):
                    self._client.drop_collection(collection, timeout=WRITE_TIMEOUT_SECONDS)
            self.set_fact("derived", {})
        self._ensure(schema.ITEMS, lambda client, timeout: schema.create_items(client, dimension, timeout))
        self._ensure(schema.USERS, schema.create_users)
        self._ensure(schema.INTERACTIONS, schema.create_interactions)
        if self.fact("schema") != wanted:
            self.set_fact("schema", wanted)

    def query(self, collection: str, expression: str, fields: Sequence[str], **options: Any) -> list[Row]:
        """Rows that ``expression`` finds."""
        with self._reaching("query"):
            rows: list[Row] = self._client.query(
                collection, filter=expression, output_fields=list(fields), timeout=WRITE_TIMEOUT_SECONDS, **options
            )
        return rows

    def stored(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        """Rows of ``collection`` by id; ids that are not there are absent."""
        if not ids:
            return {}
        rows = self.query(collection, _among(ids), ["id", *fields])
        return {row["id"]: row for row in rows}

    def all_rows(self, collection: str, fields: Sequence[str]) -> Iterator[Row]:
        """Every row of ``collection`` with ``id`` and ``fields``, by rising id, a page at a time."""
        last = ""
        while True:
            # Not pymilvus's own iterator: it does not escape the id that a page starts from.
            page = self.query(collection, f"id > {literal(last)}", ["id", *fields], limit=PAGE, iterator="True")
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]["id"]

    def count(self, collection: str) -> int:
        (row,) = self.query(collection, "", ["count(*)"])
        return int(row["count(*)"])

    def write(self, collection: str, rows: Sequence[Row]) -> None:
        """Insert or replace ``rows`` by their ids, flush, and acknowledge them."""
        with self._reaching("upsert"):
            self._client.upsert(collection, list(rows), timeout=WRITE_TIMEOUT_SECONDS)
        self._acknowledge(collection, len(rows))

    def append(self, collection: str, rows: Sequence[Row]) -> None:
        """As ``write``, for rows whose ids are known to be new: quicker."""
        with self._reaching("insert"):
            self._client.insert(collection, list(rows), timeout=WRITE_TIMEOUT_SECONDS)
        self._acknowledge(collection, len(rows))

    def remove(self, collection: str, ids: Sequence[str]) -> None:
        """Delete rows by id."""
        for start in range(0, len(ids), PAGE):
            with self._reaching("delete"):
                expression = _among(ids[start : start + PAGE])
                self._client.delete(collection, filter=expression, timeout=WRITE_TIMEOUT_SECONDS)
            self._flush(collection)

    def fact(self, name: str) -> Mapping[str, Any]:
        """What the catalogue says of itself under ``name``; empty: nothing."""
        row = self.stored(schema.CATALOG, [name], ["value"]).get(name)
        return row["value"] if row else {}

    def set_fact(self, name: str, value: Mapping[str, Any]) -> None:
        row = {"id": name, "value": dict(value), "unused": list(schema.UNUSED)}
        with self._reaching("upsert"):
            self._client.upsert(schema.CATALOG, [row], timeout=WRITE_TIMEOUT_SECONDS)
        self._flush(schema.CATALOG)

    def _ensure(self, collection: str, create: Callable[[Any, float], None]) -> None:
        with self._reaching("create"):
            if not self._client.has_collection(collection, timeout=WRITE_TIMEOUT_SECONDS):
                create(self._client, WRITE_TIMEOUT_SECONDS)
            self._client.load_collection(collection, timeout=WRITE_TIMEOUT_SECONDS)

    def _acknowledge(self, collection: str, rows: int) -> None:
        self._flush(collection)
        self.acknowledged += rows
        if self._on_acknowledged is not None:
            self._on_acknowledged(self.acknowledged)

    def _flush(self, collection: str) -> None:
        with self._reaching("flush"):
            self._client.flush(collection, timeout=WRITE_TIMEOUT_SECONDS)

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        try:
            yield
        except MilvusException as error:
            reason = " ".join(str(error.message).split())[:300]
            raise StoreUnavailable(f"{self._uri}: {what}: {reason}") from error


def _among(ids: Sequence[str]) -> str:
    return f"id in [{', '.join(map(literal, ids))}]"
