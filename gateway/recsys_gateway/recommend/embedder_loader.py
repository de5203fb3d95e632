"""The embedder, which may come late."""

from __future__ import annotations

import asyncio
import logging

from recsys_gateway.catalog.embedders import TextEmbedder, load_embedder
from recsys_gateway.catalog.embedding import PROBE, EmbedderError
from recsys_gateway.config import Embedder as EmbedderConfig

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
