"""The pipeline with the parts that it works with, each of which may come late: start-up waits for none of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from recsys_gateway.catalog.embedders import TextEmbedder, load_embedder
from recsys_gateway.catalog.embedding import PROBE, EmbedderError
from recsys_gateway.catalog.store import CatalogStore
from recsys_gateway.catalog.update_queue import UpdateQueue
from recsys_gateway.config import Embedder as EmbedderConfig
from recsys_gateway.config import RankingMode, Recommendation, Role, VectorStore
from recsys_gateway.credentials import watch_secret
from recsys_gateway.engines.ranking_modes import refusal
from recsys_gateway.recommend.pipeline import Parts, Pipeline, Span, TunedModel, no_span
from recsys_gateway.recommend.snapshot import SnapshotKeeper
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream

RETRY_SECONDS = 5.0
LOADING = "loading"

log = logging.getLogger(__name__)


class EmbedderLoader:
    """Loads the embedder in a thread, and tries again while its files or its server are not there.

    One that fails later is tried again and again, too, until it is well. ``problem`` says what is wrong.
    """

    def __init__(self, config: EmbedderConfig) -> None:
        self._config = config
        self._loading = LOADING
        self.embedder: TextEmbedder | None = None

    @property
    def problem(self) -> str:
        return self.embedder.problem if self.embedder else self._loading

    @property
    def settled(self) -> bool:
        """Whether the first try has come to an end."""
        return self.problem != LOADING

    async def run(self) -> None:
        while True:
            before = self.problem
            try:
                if self.embedder is None:
                    self.embedder = await asyncio.to_thread(load_embedder, self._config)
                elif self.embedder.problem:
                    await asyncio.to_thread(self.embedder.embed, [PROBE])
            except EmbedderError as error:
                self._loading = str(error)
            if self.problem != before:
                if self.problem:
                    log.warning("the embedder cannot be used: %s", self.problem)
                elif before != LOADING:
                    log.info("the embedder can be used again")
            await asyncio.sleep(RETRY_SECONDS)


class Recommender:
    """Made once a process; ``start`` needs a running loop."""

    def __init__(
        self,
        settings: Recommendation,
        store: VectorStore,
        embedder: EmbedderConfig,
        upstreams: Mapping[Role, Upstream],
        span: Span = no_span,
    ) -> None:
        self.settings = settings
        self.store = CatalogStore(store)
        self._token_file = store.token_file
        self.keeper = SnapshotKeeper(self.store)
        self.embedder = EmbedderLoader(embedder)
        self.updates = UpdateQueue(store, lambda: self.embedder.embedder, self.store.counts)
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
