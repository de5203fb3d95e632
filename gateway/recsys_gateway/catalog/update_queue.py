"""The one writer of a gateway: changes wait in line, those of a kind are written together, each is told what it did.

Nothing is acknowledged that is not durable. While Milvus is away a change is tried again for a while; then it is
refused, and may be sent again. A line that is full refuses at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recsys_gateway.catalog.changes import Changed
from recsys_gateway.catalog.event_counts import EventCounts
from recsys_gateway.catalog.failures import NewerSchema, NotReady, QueueFull, StoreUnavailable
from recsys_gateway.catalog.limits import BadValue
from recsys_gateway.catalog.migration import TextEmbedder, prepare
from recsys_gateway.catalog.records import Interaction, Item, User
from recsys_gateway.catalog.updates import CatalogUpdates
from recsys_gateway.catalog.writing import CatalogWriter
from recsys_gateway.config import VectorStore

GROUP_ROWS = 2_000
"""Rows of changes that are written together."""
PIECE_ROWS = 50
"""Rows of one call: readers of Milvus Lite wait for it to end."""
FLUSH_ROWS = 1_000
"""Of one collection, after which it is flushed: that takes 60 ms, in which Milvus Lite answers no reader. Fewer rows
make so many segments that merging them costs more; those of ten seconds made readers wait for a second and more."""
MAX_WAITING_ROWS = 20_000
RETRY_SECONDS = 15.0
"""How long a change is tried again: Milvus Lite is started again within a few seconds."""
PAUSE_SECONDS = 0.5
FLUSH_SECONDS = 10.0
"""After which what Milvus Lite holds in its log alone is flushed."""
WRITE_SECONDS = 20.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    kind: str
    rows: Sequence[Any]
    done: asyncio.Future[Any]


class UpdateQueue:
    """``run`` is the writer; everything else is called on the event loop."""

    def __init__(
        self,
        config: VectorStore,
        embedder: Callable[[], TextEmbedder | None],
        counts: EventCounts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._embedder = embedder
        self._counts = counts
        self._clock = clock
        self._line: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._some = asyncio.Event()
        self._writer: CatalogWriter | None = None
        self._updates: CatalogUpdates | None = None
        self._dirty_since: float | None = None

    async def put_items(self, items: Sequence[Item]) -> Changed:
        """As ``CatalogUpdates.put_items``; raises QueueFull, NotReady, StoreUnavailable, too."""
        changed: Changed = await self._wait("items", items)
        return changed

    async def remove_item(self, item_id: str) -> bool:
        removed: bool = await self._wait("remove", [item_id])
        return removed

    async def put_users(self, users: Sequence[User]) -> Changed:
        changed: Changed = await self._wait("users", users)
        return changed

    async def erase_user(self, user_id: str) -> Changed | None:
        erased: Changed | None = await self._wait("erase", [user_id])
        return erased

    async def add_events(self, events: Sequence[Interaction]) -> Changed:
        changed: Changed = await self._wait("events", events)
        return changed

    async def run(self) -> None:
        """Write until cancelled; what was begun is ended first."""
        try:
            await self._migrate()
            while True:
                await self._next()
        finally:
            if self._writer is not None:
                await asyncio.to_thread(self._close)

    async def _wait(self, kind: str, rows: Sequence[Any]) -> Any:
        if self._waiting_rows + len(rows) > MAX_WAITING_ROWS:
            raise QueueFull
        waiting = _Waiting(kind, rows, asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._waiting_rows += len(rows)
        self._some.set()
        return await waiting.done

    async def _migrate(self) -> None:
        """Bring the store up to date before the first change, as soon as embedder and store are there."""
        while True:
            try:
                await asyncio.to_thread(self._opened)
            except NewerSchema as error:
                log.error("the catalogue cannot be written: %s", error)  # noqa: TRY400  no traceback: what to do is said
            except (NotReady, StoreUnavailable):
                await asyncio.sleep(PAUSE_SECONDS)
                if not self._line:
                    continue
            return

    async def _next(self) -> None:
        if not self._line:
            self._some.clear()
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._some.wait()
            except TimeoutError:
                await self._flush()
                return
        group = self._group()
        if not group:
            return
        await self._answer(group)
        if self._dirty_since is not None:
            old = self._clock() - self._dirty_since > FLUSH_SECONDS
            await self._flush(1 if old else FLUSH_ROWS)

    def _group(self) -> list[_Waiting]:
        """The changes at the head of the line that can be written together; who has left is left out."""
        group: list[_Waiting] = []
        rows = 0
        while self._line:
            head = self._line[0]
            if not head.done.done():
                alike = not group or (head.kind == group[0].kind and head.kind in _TOGETHER)
                if not alike or (group and rows + len(head.rows) > GROUP_ROWS):
                    break
                group.append(head)
                rows += len(head.rows)
            self._line.popleft()
            self._waiting_rows -= len(head.rows)
        return group

    async def _answer(self, group: list[_Waiting]) -> None:
        try:
            changed = await self._tried(group[0].kind, [row for each in group for row in each.rows])
        except BadValue as error:
            if len(group) > 1:  # one of them is at fault: each is written by itself
                for each in group:
                    await self._answer([each])
                return
            _tell(group, error)
        except Exception as error:  # whatever it is, who waits must hear of it
            _tell(group, error)
        else:
            self._dirty_since = self._dirty_since or self._clock()
            if isinstance(changed, Changed) and changed.counts:
                self._counts.note(changed.counts)
            for each in group:
                if not each.done.done():
                    each.done.set_result(changed)

    async def _tried(self, kind: str, rows: Sequence[Any]) -> Any:
        """Written, at the second or a later try where Milvus is away for a moment."""
        until = self._clock() + RETRY_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self._write, kind, rows)
            except StoreUnavailable as error:
                await asyncio.to_thread(self._close)
                if self._clock() > until:
                    raise
                log.warning("a change is tried again", extra={"kind": kind, "rows": len(rows), "problem": str(error)})
                await asyncio.sleep(PAUSE_SECONDS)

    def _write(self, kind: str, rows: Sequence[Any]) -> Any:
        updates = self._opened()
        match kind:
            case "items":
                return updates.put_items(rows)
            case "remove":
                return updates.remove_item(rows[0])
            case "users":
                return updates.put_users(rows)
            case "erase":
                return updates.erase_user(rows[0])
            case _:
                return updates.add_events(rows, time.time_ns())

    def _opened(self) -> CatalogUpdates:
        if self._updates is None:
            embedder = self._embedder()
            if embedder is None:
                raise NotReady
            self._writer = CatalogWriter(self._config, flushes=False, piece=PIECE_ROWS, timeout=WRITE_SECONDS)
            prepare(self._writer, embedder)
            self._updates = CatalogUpdates(self._writer, embedder)
        return self._updates

    def _close(self) -> None:
        writer, self._writer, self._updates = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _flush(self, least: int = 1) -> None:
        """The collections with ``least`` new rows. What is not flushed now is flushed later: it is in Milvus's log."""
        if self._dirty_since is None or self._writer is None:
            return
        if least == 1:
            self._dirty_since = None
        try:
            await asyncio.to_thread(self._writer.flush_if_cheap, least)
        except StoreUnavailable as error:
            log.warning("the catalogue could not be flushed", extra={"problem": str(error)})
            await asyncio.to_thread(self._close)


_TOGETHER = frozenset({"items", "users", "events"})


def _tell(group: Sequence[_Waiting], error: BaseException) -> None:
    for each in group:
        if not each.done.done():
            each.done.set_exception(error)
