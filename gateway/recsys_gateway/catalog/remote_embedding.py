"""What embedders over the network have in common: batches, a deadline, one more try, and how they are doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.catalog.embedding import PROBE
from recsys_gateway.catalog.unit_vectors import EmbedderError

EMPTY = "-"
"""Sent for a text without a letter: servers refuse those."""
CHARACTERS = 8_000
"""More of a text is not sent: about what the longest models read, and a 100 kB query must stay cheap."""


class EmbedderAway(EmbedderError):
    """The server cannot be reached, or is too busy: the same call may succeed a moment later."""


class VectorServer(Protocol):
    """One server, by its protocol."""

    @property
    def batch(self) -> int:
        """Texts that one call may have."""
        ...

    def vectors(self, texts: Sequence[str], seconds: float) -> NDArray[np.float32]:
        """Unit vectors of ``texts``, in their order.

        Raises:
            EmbedderAway: worth another try.
            EmbedderError: not worth one.
        """
        ...


class RemoteEmbedder:
    """Calls are independent of each other and may come from several threads. ``problem``: how the last one failed."""

    def __init__(self, server: VectorServer, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            EmbedderError: the server does not answer, or not as its protocol says.
        """
        self.problem = ""
        self._server = server
        self._seconds = seconds
        self._clock = clock
        self.dimension = int(self._vectors([PROBE]).shape[1])

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of ``texts``, [len(texts), dimension], each of length 1 and finite.

        Raises:
            EmbedderError: the server did not give them.
        """
        found = np.empty((len(texts), self.dimension), np.float32)
        # Texts of like length share a batch: little padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        try:
            for start in range(0, len(order), self._server.batch):
                some = order[start : start + self._server.batch]
                vectors = self._vectors([texts[index] for index in some])
                if vectors.shape != (len(some), self.dimension):
                    raise EmbedderError(  # noqa: TRY301  what follows is the same for every failure
                        f"the embedder answered {vectors.shape} numbers, where {(len(some), self.dimension)} were due: "
                        "another model? Load the catalogue anew and restart the gateway"
                    )
                found[some] = vectors
        except EmbedderError as error:
            self.problem = str(error)
            raise
        self.problem = ""
        return found

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One batch, tried once more where that may help and time is left."""
        sent, end = [_sendable(text) for text in texts], self._clock() + self._seconds
        try:
            return self._server.vectors(sent, self._seconds)
        except EmbedderAway:
            left = end - self._clock()
            if left < self._seconds / 10:
                raise
            return self._server.vectors(sent, left)


def _sendable(text: str) -> str:
    """Lone surrogates can come from JSON and cannot be sent."""
    cut = text[:CHARACTERS].encode("utf-8", "replace").decode()
    return cut if cut.strip() else EMPTY
