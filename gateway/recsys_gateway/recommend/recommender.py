"""The pipeline with the parts that it works with, each of which may come late: start-up waits for none of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_gateway.config import RankingMode, Recommendation, Role
from recsys_gateway.credentials import watch_secret
from recsys_gateway.engines.ranking_modes import refusal
from recsys_gateway.recommend.embedder_loader import EmbedderLoader
from recsys_gateway.recommend.pipeline import Parts, Pipeline, Span, TunedModel, no_span
from recsys_gateway.recommend.snapshot import SnapshotKeeper
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream

if TYPE_CHECKING:  # they bring Milvus's client, which a gateway without a catalogue does not load
    from recsys_gateway.catalog.store import CatalogStore
    from recsys_gateway.catalog.update_queue import UpdateQueue


class Recommender:
    """Made once a process; ``start`` needs a running loop. ``token_file`` holds the store's token, where it has one."""

    def __init__(
        self,
        settings: Recommendation,
        store: CatalogStore,
        updates: UpdateQueue,
        embedder: EmbedderLoader,
        upstreams: Mapping[Role, Upstream],
        token_file: Path | None = None,
        span: Span = no_span,
    ) -> None:
        self.settings = settings
        self.store = store
        self._token_file = token_file
        self.keeper = SnapshotKeeper(store)
        self.embedder = embedder
        self.updates = updates
        self.pipeline = Pipeline(settings, self._parts, time.perf_counter, span)
        tuned = upstreams.get(Role.TUNED)
        self._served = tuned.model if tuned else None
        self._tuned = TunedModel(tuned, TokenCounts(tuned)) if tuned else None
        self._base = upstreams.get(Role.BASE)
        self._tasks: list[asyncio.Task[None]] = []

    def refusal(self, mode: RankingMode) -> str | None:
        """Why the tuned model cannot rank in ``mode``, and what to do about it; None where it can, or is not there."""
        return refusal(mode, self._served, self.settings) if self._served else None

    def start(self) -> None:
        """Begin what runs beside the requests."""
        self._tasks.append(asyncio.create_task(self.keeper.run(), name="catalog snapshot"))
        self._tasks.append(asyncio.create_task(self.embedder.run(), name="embedder"))
        self._tasks.append(asyncio.create_task(self.updates.run(), name="catalog updates"))
        if self._token_file is not None:
            watch = watch_secret(self._token_file, self.store.use_token)
            self._tasks.append(asyncio.create_task(watch, name="vector store's token"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    def _parts(self) -> Parts:
        return Parts(self.store, self.keeper.latest, self.embedder.embedder, self._tuned, self._base, self.keeper.lost)
