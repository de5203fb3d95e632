"""The reading side of the catalogue: what the pipeline asks of Milvus while a request waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from recsys_gateway.catalog import schema
from recsys_gateway.catalog.engine_features import EngineFeatures, features_of
from recsys_gateway.catalog.event_counts import EventCounts
from recsys_gateway.catalog.failures import StoreRefused
from recsys_gateway.catalog.failures import StoreUnavailable as StoreUnavailable  # exported: what this module raises
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, FieldKind, Filters, literal
from recsys_gateway.catalog.limits import ID_BYTES
from recsys_gateway.catalog.pymilvus import (
    AnnSearchRequest,
    AsyncMilvusClient,
    ErrorCode,
    MilvusException,
    ParamError,
    RRFRanker,
    Status,
)
from recsys_gateway.catalog.records import User
from recsys_gateway.catalog.rows import StoredItem, Vector, stored_item, stored_user, with_lists
from recsys_gateway.catalog.searching import Hit, SearchRequest
from recsys_gateway.config import VectorStore
from recsys_gateway.credentials import secret

RRF_CONSTANT = 60
"""k of reciprocal rank fusion, score = sum of 1 / (k + rank) (Cormack, Clarke, Büttcher, 2009)."""

MIN_DEPTH = 30
"""Hits that each arm gives at least. Milvus Lite takes .1 ms for each of them."""
KEYWORD_CHARACTERS = 4_096
MAX_KEYS = 1_000
PAGE = 16_000
"""Rows a call: Milvus gives at most 16,384."""
RANKED = 1_000
"""Most popular items that are looked through for those that pass filters."""

_NOT_LOADED = 101
_REFUSALS = frozenset(
    {Status.ILLEGAL_ARGUMENT, Status.ILLEGAL_RANGE, Status.ILLEGAL_DIMENSION, Status.ILLEGAL_TOPK, *range(1100, 1200)}
)
"""Codes of Milvus, old and new, for what is wrong with the call itself; Milvus Lite uses the old ones."""

log = logging.getLogger(__name__)
_CHANNEL_OPTIONS = {
    # Milvus may be away for an hour: without a limit gRPC then waits up to two minutes before it looks again.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


class CatalogStore:
    """A connection to the catalogue. It connects by itself when it is first asked, and again after a failure.

    Every method raises ``StoreUnavailable``, and none waits longer than the configured timeout. ``counts`` is what
    popularity is made of; ``read_counts`` fills it, and whoever writes events in this process keeps it up to date.
    """

    def __init__(self, config: VectorStore) -> None:
        self._config = config
        # pymilvus logs each failed call with its expression, which may hold what a customer asked for.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.counts = EventCounts()
        self._features: EngineFeatures | None = None
        self._token = secret(config.token_env, config.token_file) or ""
        self._client = self._connection()
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, config: VectorStore) -> CatalogStore:
        """A store whose catalogue answered.

        Raises:
            StoreUnavailable: there is no Milvus at the address, or no catalogue in it.
        """
        store = cls(config)
        try:
            await store.fields()
        except StoreUnavailable:
            await store.close()
            raise
        return store

    @property
    def missing(self) -> str:
        """What searches go without on this Milvus; empty: nothing, or it was not asked yet."""
        return self._features.missing if self._features else ""

    async def close(self) -> None:
        await asyncio.gather(self._client.close(), *self._closing)

    def use_token(self, token: str) -> None:
        """Another token from the next call on; calls that run keep the old one. Needs a running loop."""
        if token == self._token:
            return
        log.info("the vector store's token has changed")
        old, self._token = self._client, token
        self._client = self._connection()
        task = asyncio.create_task(self._close_later(old))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _connection(self) -> AsyncMilvusClient:
        return AsyncMilvusClient(
            uri=str(self._config.uri),
            token=self._token,
            timeout=self._config.timeout_seconds,
            grpc_options=_CHANNEL_OPTIONS,
            dedicated=True,
        )

    async def _close_later(self, client: AsyncMilvusClient) -> None:
        await asyncio.sleep(self._config.timeout_seconds)  # the longest that a call may still use it
        await client.close()

    async def user(self, user_id: str) -> User | None:
        """The user with the latest items of the history, oldest first; None: not known."""
        rows = await self._rows(schema.USERS, [user_id], schema.USER_FIELDS)
        return stored_user(with_lists(rows[0])) if rows else None

    async def items(self, ids: Iterable[str]) -> dict[str, StoredItem]:
        """The items that the catalogue has among ``ids``, by id, in the order of ``ids``."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, StoredItem] = {}
        for start in range(0, len(wanted), MAX_KEYS):
            fields = schema.item_fields(await self.features())
            rows = await self._rows(schema.ITEMS, wanted[start : start + MAX_KEYS], fields)
            found |= {row["id"]: self._stored(row) for row in rows}
        return {item_id: found[item_id] for item_id in wanted if item_id in found}

    async def search(self, request: SearchRequest) -> list[Hit]:
        """Items in stock that pass the filters, best first, by one hybrid search over the arms that are given.

        No arm given: nothing is found (``popular`` is for that).
        """
        features = await self.features()
        arms = _arms(request, features)
        if not arms:
            return []
        fields = schema.item_fields(features)
        if not features.several_vectors:
            return await self._search_one(arms[0], request.limit, fields)
        (hits,) = await self._call(
            "hybrid_search",
            schema.ITEMS,
            reqs=arms,
            ranker=RRFRanker(RRF_CONSTANT),
            limit=request.limit,
            output_fields=fields,
        )
        return [Hit(self._stored({**hit["entity"], "id": hit["id"]}), float(hit["distance"])) for hit in hits]

    async def _search_one(self, arm: AnnSearchRequest, limit: int, fields: Sequence[str]) -> list[Hit]:
        """A search over the only vector that this Milvus keeps of an item, scored as fused ones are."""
        (hits,) = await self._call(
            "search",
            schema.ITEMS,
            data=arm.data,
            anns_field=arm.anns_field,
            search_params=arm.param,
            filter=arm.expr,
            limit=limit,
            output_fields=list(fields),
        )
        found = [self._stored({**hit["entity"], "id": hit["id"]}) for hit in hits]
        return [Hit(stored, 1 / (RRF_CONSTANT + place)) for place, stored in enumerate(found, 1)]

    def _stored(self, row: Mapping[str, Any]) -> StoredItem:
        return stored_item(row, self.counts.share(row["id"]))

    async def popular(self, limit: int, filters: Filters = NO_FILTERS) -> list[StoredItem]:
        """Items in stock that pass ``filters``, those with most events first.

        Where fewer than ``limit`` of the most popular ones are left, others that pass follow.
        """
        ranked = self.counts.most(RANKED)
        chosen: list[StoredItem] = []
        for start in range(0, len(ranked), max(1, limit)):
            some = await self.items(ranked[start : start + limit])
            chosen += [each for each in some.values() if each.item.in_stock and filters.matches(each.item)]
            if len(chosen) >= limit:
                return chosen[:limit]
        rows = await self._call(
            "query",
            schema.ITEMS,
            filter=_in_stock_and(filters),
            output_fields=schema.item_fields(await self.features()),
            limit=limit + len(chosen),
        )
        have = {each.item.id for each in chosen}
        chosen += [self._stored(row) for row in rows if row["id"] not in have]
        return chosen[:limit]

    async def fields(self) -> Mapping[str, FieldKind]:
        """The fields that filters may use, with what they hold."""
        attributes = await self._fact("fields")
        return {**{name: FieldKind(kind) for name, kind in attributes.items()}, **ITEM_FIELDS}

    async def revision(self) -> str:
        """Differs from what it was before where a load has changed the items; empty: no load has ended yet."""
        return str((await self._fact(schema.REVISION)).get("id", ""))

    async def read_counts(self) -> None:
        """Take the events of each item from the store; what this process wrote meanwhile is not undone."""
        version, events, last = self.counts.version, dict[str, int](), ""
        while True:
            page = await self._call(
                "query",
                schema.STATISTICS,
                filter=f"id > {literal(last)}",
                output_fields=["id", "events"],
                limit=PAGE,
                iterator="True",
            )
            events |= {row["id"]: row["events"] for row in page}
            if len(page) < PAGE:
                break
            last = page[-1]["id"]
        if version == self.counts.version:
            self.counts.replace(events)

    async def features(self) -> EngineFeatures:
        """What this Milvus can do; asked once."""
        if self._features is None:
            try:
                async with asyncio.timeout(self._config.timeout_seconds):
                    version = await self._client.get_server_version()
            except (TimeoutError, MilvusException, grpc.RpcError):
                raise StoreUnavailable(f"{self._config.uri}: not reachable") from None
            self._features = features_of(version)
            if self._features.missing:
                log.warning("searches go without a part", extra={"missing": self._features.missing})
        return self._features

    async def _fact(self, name: str) -> Mapping[str, Any]:
        rows = await self._rows(schema.CATALOG, [name], ("value",))
        return rows[0]["value"] if rows else {}

    async def _rows(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Rows by key. Keys that no catalogue can hold (too long, no valid Unicode) are not asked for."""
        keys = [literal(key) for key in ids if _is_key(key)]
        if not keys:
            return []
        rows: list[dict[str, Any]] = await self._call(
            "query", collection, filter=f"id in [{', '.join(keys)}]", output_fields=list(fields)
        )
        return rows

    async def _call(self, method: str, collection: str, **arguments: Any) -> Any:
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await self._attempt(method, collection, arguments)
        except TimeoutError:
            seconds = self._config.timeout_seconds
            raise StoreUnavailable(f"{self._config.uri}: no answer to {method} within {seconds:g} s") from None
        except MilvusException as error:
            if not _refused(error):
                raise StoreUnavailable(f"{self._config.uri}: {method} of {collection}: {_reason(error)}") from error
            # A call that can never work is a fault of ours. No traceback: it would hold the expression, and so what a
            # customer asked for.
            where = {"method": method, "collection": collection, "code": error.code}
            log.error("Milvus refused a call", extra=where)  # noqa: TRY400 as said above
            raise StoreRefused(f"{self._config.uri}: {method} of {collection}: {_reason(error)}") from error
        except grpc.RpcError as error:
            raise StoreUnavailable(f"{self._config.uri}: {method} of {collection}: {_reason(error)}") from error

    async def _attempt(self, method: str, collection: str, arguments: Mapping[str, Any]) -> Any:
        call = getattr(self._client, method)
        # pymilvus would try again for as long as the timeout lasts: one retry tells a restart from an outage.
        try:
            return await call(collection, retry_times=1, **arguments)
        except MilvusException as error:
            if error.code != _NOT_LOADED:
                raise
        # Milvus Lite comes back from a restart with nothing loaded.
        await self._client.load_collection(collection, retry_times=1)
        return await call(collection, retry_times=1, **arguments)


def _arms(request: SearchRequest, features: EngineFeatures) -> list[AnnSearchRequest]:
    depth = max(MIN_DEPTH, request.limit)
    excluded = [literal(key) for key in request.excluded if _is_key(key)]
    expression = _in_stock_and(request.filters) + (f" and id not in [{', '.join(excluded)}]" if excluded else "")
    words = request.keywords[:KEYWORD_CHARACTERS].encode(errors="replace").decode().strip()

    def arm(data: Any, field: str, metric: str) -> AnnSearchRequest:
        return AnnSearchRequest([data], field, {"metric_type": metric}, limit=depth, expr=expression)

    arms = []
    if (text := _direction(request.text)) is not None:
        arms.append(arm(text, "text", "COSINE"))
    if words and features.keywords:
        arms.append(arm(words, "keywords", "BM25"))
    if features.several_vectors and (user := _direction(request.user_vector)) is not None:
        arms.append(arm(user, "collaborative", "IP"))
    return arms


def _direction(vector: Vector | None) -> list[float] | None:
    """The vector as Milvus takes it; None where it points nowhere.

    Raises:
        ValueError: numbers that are not finite: Milvus would answer with nothing.
    """
    if vector is None or not vector.any():
        return None
    if not np.isfinite(vector).all():
        raise ValueError("a search vector holds numbers that are not finite")
    listed: list[float] = vector.astype(np.float32).tolist()
    return listed


def _in_stock_and(filters: Filters) -> str:
    return " and ".join(part for part in ("in_stock == true", filters.expression()) if part)


def _is_key(key: str) -> bool:
    try:
        return 0 < len(key.encode()) <= ID_BYTES
    except UnicodeEncodeError:
        return False


def _refused(error: MilvusException) -> bool:
    return isinstance(error, ParamError) or error.code in _REFUSALS


def _reason(error: Exception) -> str:
    """What happened, on one line, without the expression that Milvus repeats in its message."""
    code = error.code() if isinstance(error, grpc.RpcError) else getattr(error, "code", None)
    if code in (grpc.StatusCode.UNAVAILABLE, Status.CONNECT_FAILED):
        return "not reachable"
    if code == ErrorCode.COLLECTION_NOT_FOUND:
        return "there is no such collection; load a catalogue first"
    return f"refused ({code})"
