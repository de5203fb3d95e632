"""The writing side of the catalogue: one writer, rows in batches, each durable before it is acknowledged.

Durable means: it survives the death of every process. Milvus has a row in its log when it answers. Milvus Lite has it
in a log file that the operating system holds; it is flushed too, after each batch of a load, so that it survives the
machine. A Milvus server limits how often one may flush, and needs none: its log is on other disks already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import grpc

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.batches import batched
from recsys_gateway.catalog.engine_features import EngineFeatures, features_of
from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.filters import literal
from recsys_gateway.catalog.pymilvus import MilvusClient, MilvusException
from recsys_gateway.catalog.rows import Row, with_lists, without_lists
from recsys_gateway.config import VectorStore
from recsys_gateway.credentials import secret

WRITE_TIMEOUT_SECONDS = 60.0
"""A flush may wait for others; a load is no request that somebody waits for."""

PAGE = 16_000
"""Rows a call: Milvus gives at most 16,384."""


class CatalogWriter:
    """Writes the collections. ``acknowledged`` counts the rows that are durable.

    ``flushes`` says whether each batch is flushed where that is cheap (Milvus Lite). ``piece`` is how many rows go in
    one call: Milvus Lite answers no reader meanwhile. Every method raises ``StoreUnavailable``.
    """

    def __init__(
        self,
        config: VectorStore,
        on_acknowledged: Callable[[int], None] | None = None,
        *,
        flushes: bool = True,
        piece: int = PAGE,
        timeout: float = WRITE_TIMEOUT_SECONDS,
    ) -> None:
        self.acknowledged = 0
        self._timeout = timeout
        self._piece = piece
        self._unflushed: dict[str, int] = {}
        self._uri = str(config.uri)
        self._on_acknowledged = on_acknowledged
        # pymilvus logs each failed call with all that was in it.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = secret(config.token_env, config.token_file) or ""
        with self._reaching("connect"):
            self._client = MilvusClient(uri=self._uri, token=token, timeout=config.timeout_seconds, dedicated=True)
            self.features: EngineFeatures = features_of(self._client.get_server_version())
        self._flushes = flushes and self.features.lite

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """That Milvus takes calls: it listens before it does."""
        with self._reaching("look"):
            self._client.list_collections(timeout=self._timeout)

    def has(self, collection: str) -> bool:
        with self._reaching("look"):
            return bool(self._client.has_collection(collection, timeout=self._timeout))

    def create(self, collection: str, make: Callable[[Any, EngineFeatures, float], None]) -> None:
        """The collection, loaded; ``make`` creates what of it is not there."""
        with self._reaching("create"):
            make(self._client, self.features, self._timeout)
        self.load(collection)

    def load(self, collection: str) -> None:
        """A collection that is there: Milvus Lite comes back from a kill with nothing loaded."""
        with self._reaching("load"):
            self._client.load_collection(collection, timeout=self._timeout)

    def drop(self, collection: str) -> None:
        with self._reaching("drop"):
            self._client.drop_collection(collection, timeout=self._timeout)

    def rename(self, collection: str, to: str) -> None:
        with self._reaching("rename"):
            self._client.rename_collection(collection, to, timeout=self._timeout)
            self._client.load_collection(to, timeout=self._timeout)

    def query(self, collection: str, expression: str, fields: Sequence[str], **options: Any) -> list[Row]:
        """Rows that ``expression`` finds."""
        with self._reaching("query"):
            rows: list[Row] = self._client.query(
                collection, filter=expression, output_fields=list(fields), **{"timeout": self._timeout, **options}
            )
        return rows if self.features.lite else [with_lists(row) for row in rows]

    def stored(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        """Rows of ``collection`` by id; ids that are not there are absent."""
        found: dict[str, Row] = {}
        for some in batched(ids, self._piece):
            found |= {row["id"]: row for row in self.query(collection, _among(some), ["id", *fields])}
        return found

    def all_rows(self, collection: str, fields: Sequence[str], page: int = PAGE) -> Iterator[Row]:
        """Every row of ``collection`` with ``id`` and ``fields``, by rising id, a page at a time."""
        last = ""
        while True:
            # Not pymilvus's own iterator: it does not escape the id that a page starts from.
            rows = self.query(collection, f"id > {literal(last)}", ["id", *fields], limit=page, iterator="True")
            yield from rows
            if len(rows) < page:
                return
            last = rows[-1]["id"]

    def count(self, collection: str) -> int:
        (row,) = self.query(collection, "", ["count(*)"])
        return int(row["count(*)"])

    def write(self, collection: str, rows: Sequence[Row]) -> None:
        """Insert or replace ``rows`` by their ids, and acknowledge them. Rows are whole."""
        # An upsert reads the old row first, which takes Milvus Lite as long as the write; there the newest row of a
        # key is the one that counts, whichever call wrote it.
        call = self._client.insert if self.features.lite else self._client.upsert
        for some in batched(self._taken(rows), self._piece):
            with self._reaching("upsert"):
                call(collection, some, timeout=self._timeout)
        self._acknowledge(collection, len(rows))

    def append(self, collection: str, rows: Sequence[Row]) -> None:
        """As ``write``, for rows whose ids are known to be new: quicker."""
        for some in batched(self._taken(rows), self._piece):
            with self._reaching("insert"):
                self._client.insert(collection, some, timeout=self._timeout)
        self._acknowledge(collection, len(rows))

    def remove(self, collection: str, ids: Sequence[str]) -> None:
        """Delete rows by id: the next read does not find them."""
        for start in range(0, len(ids), PAGE):
            with self._reaching("delete"):
                expression = _among(ids[start : start + PAGE])
                self._client.delete(collection, filter=expression, timeout=self._timeout)
            self._written(collection, min(PAGE, len(ids) - start))
        if ids and not self.features.lite:
            # A server of 2.3 tells no time of a delete, by which readers could wait for it: a strong read does.
            self.query(collection, _among(ids[-1:]), ["id"], consistency_level="Strong")

    def fact(self, name: str) -> Mapping[str, Any]:
        """What the catalogue says of itself under ``name``; empty: nothing."""
        row = self.stored(schema.CATALOG, [name], ["value"]).get(name)
        return row["value"] if row else {}

    def set_fact(self, name: str, value: Mapping[str, Any]) -> None:
        row = {"id": name, "value": dict(value), "unused": list(schema.UNUSED)}
        with self._reaching("upsert"):
            self._client.upsert(schema.CATALOG, [row], timeout=self._timeout)
        self._written(schema.CATALOG, 1)

    def flush(self, least: int = 1) -> None:
        """Flush the collections of which at least ``least`` rows were written since the last time."""
        for collection in [name for name, rows in self._unflushed.items() if rows >= least]:
            with self._reaching("flush"):
                self._client.flush(collection, timeout=self._timeout)
            del self._unflushed[collection]

    def flush_if_cheap(self, least: int = 1) -> None:
        """``flush`` on Milvus Lite; a server flushes by itself."""
        if self.features.lite:
            self.flush(least)

    def close(self) -> None:
        self._client.close()

    def _taken(self, rows: Sequence[Row]) -> Iterable[Row]:
        """``rows`` as this Milvus takes them."""
        return rows if self.features.lite else map(without_lists, rows)

    def _acknowledge(self, collection: str, rows: int) -> None:
        self._written(collection, rows)
        self.acknowledged += rows
        if self._on_acknowledged is not None:
            self._on_acknowledged(self.acknowledged)

    def _written(self, collection: str, rows: int) -> None:
        self._unflushed[collection] = self._unflushed.get(collection, 0) + rows
        if self._flushes:
            self.flush()

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        try:
            yield
        except MilvusException as error:
            reason = " ".join(str(error.message).split())[:300]
            raise StoreUnavailable(f"{self._uri}: {what}: {reason}") from error
        except grpc.RpcError as error:
            raise StoreUnavailable(f"{self._uri}: {what}: {error.code()}") from error


def _among(ids: Sequence[str]) -> str:
    return f"id in [{', '.join(map(literal, ids))}]"
