"""The pipeline with the parts that it works with, each of which may come late: start-up waits for none of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from recsys_gateway.catalog.embedding import Embedder, EmbedderError
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.config import Recommendation, Role, VectorStore
from recsys_gateway.recommend.pipeline import Parts, Pipeline, Span, TunedModel, no_span
from recsys_gateway.recommend.snapshot import SnapshotKeeper
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream

RETRY_SECONDS = 5.0
LOADING = "loading"

log = logging.getLogger(__name__)


class EmbedderLoader:
    """Loads the embedder in a thread, and tries again while its files are not there. ``problem`` says what is wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.embedder: Embedder | None = None
        self.problem = LOADING

    @property
    def settled(self) -> bool:
        """Whether the first try has come to an end."""
        return self.problem != LOADING

    async def run(self) -> None:
        while self.embedder is None:
            try:
                self.embedder = await asyncio.to_thread(Embedder.load, self._folder)
                self.problem = ""
            except EmbedderError as error:
                if self.problem != str(error):
                    log.warning("the embedder cannot be loaded: %s", error)
                self.problem = str(error)
                await asyncio.sleep(RETRY_SECONDS)


class Recommender:
    """Made once a process; ``start`` needs a running loop."""

    def __init__(
        self,
        settings: Recommendation,
        store: VectorStore,
        embedder: Path,
        upstreams: Mapping[Role, Upstream],
        span: Span = no_span,
    ) -> None:
        self.settings = settings
        self.store = CatalogStore(store)
        self.keeper = SnapshotKeeper(self.store)
        self.embedder = EmbedderLoader(embedder)
        self.pipeline = Pipeline(settings, self._parts, time.perf_counter, span)
        tuned = upstreams.get(Role.TUNED)
        self._tuned = TunedModel(tuned, TokenCounts(tuned)) if tuned else None
        self._base = upstreams.get(Role.BASE)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin what runs beside the requests."""
        self._tasks.append(asyncio.create_task(self.keeper.run(), name="catalog snapshot"))
        self._tasks.append(asyncio.create_task(self.embedder.run(), name="embedder"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    def _parts(self) -> Parts:
        return Parts(self.store, self.keeper.latest, self.embedder.embedder, self._tuned, self._base, self.keeper.lost)
