"""What the gateway keeps of the catalogue in memory, so that an answer can still be given while the store is away."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.filters import ITEM_FIELDS, FieldKind
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.claims import Claims
from recsys_gateway.recommend.retrieve import Catalog
from recsys_gateway.recommend.vocabulary import Vocabulary

POPULAR_ITEMS = 500
REFRESH_SECONDS = 60.0
LOOK_SECONDS = 1.0
LOOK_TIMEOUT_SECONDS = 1.0
"""Together with ``LOOK_SECONDS``: how late it is noticed that the store hangs."""
NOT_ASKED = "not asked yet"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """Popular items, best first; the fields that filters may use; what the popular items' documents say."""

    popular: tuple[StoredItem, ...] = ()
    fields: Mapping[str, FieldKind] | None = None
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    claims: Claims = field(default_factory=Claims)

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(stored.item.title for stored in self.popular)


class SnapshotKeeper:
    """Holds the latest snapshot, and refreshes it in the background.

    ``reachable`` says whether the store answers and holds items; ``problem`` says what is wrong where it does not.
    """

    def __init__(self, catalog: Catalog, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalog = catalog
        self._clock = clock
        self._revision = ""
        self._refreshed = -math.inf
        self.latest = CatalogSnapshot()
        self.reachable = False
        self.problem = NOT_ASKED

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """See whether the store is there, and take a new snapshot where a load has changed it or the last one is old.

        The look itself is one read by key, so that it can be taken often.
        """
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                revision = await self._catalog.revision()
        except (StoreUnavailable, TimeoutError) as error:
            self.lost(str(error) or f"no answer within {LOOK_TIMEOUT_SECONDS:g} s")
            return
        old = self._clock() - self._refreshed > REFRESH_SECONDS
        if old or revision != self._revision or not self.latest.popular:
            await self._refresh(revision)
        else:
            self._found()

    def lost(self, problem: str) -> None:
        """The store is away: the snapshot stays as it is."""
        if self.reachable or self.problem == NOT_ASKED:
            log.warning("the vector store cannot be reached: %s", problem)
        self.reachable, self.problem = False, problem

    async def fields(self, wanted: Mapping[str, object], seconds: float) -> Mapping[str, FieldKind]:
        """The fields that filters may use; asked anew, for ``seconds``, where ``wanted`` names one not known yet."""
        known = self.latest.fields
        if wanted and (known is None or not wanted.keys() <= known.keys()):
            try:
                async with asyncio.timeout(seconds):
                    return await self._catalog.fields()
            except TimeoutError:
                pass  # as below; that a request has no time says nothing of the store
            except StoreUnavailable as error:
                self.lost(str(error))  # what is known must do: the request is answered from memory, too
        return known or ITEM_FIELDS

    async def _refresh(self, revision: str) -> None:
        try:
            await self._catalog.read_counts()
            popular = tuple(await self._catalog.popular(POPULAR_ITEMS))
            fields = await self._catalog.fields()
        except StoreUnavailable as error:
            self.lost(str(error))
            return
        vocabulary = await asyncio.to_thread(Vocabulary.of, [stored.item.document for stored in popular])
        self.latest = CatalogSnapshot(popular, fields, vocabulary, Claims.of(stored.item for stored in popular))
        self._revision, self._refreshed = revision, self._clock()
        if popular:
            self._found()
        else:
            self.lost("the catalogue holds no items in stock; load one")

    def _found(self) -> None:
        if not self.reachable:
            log.info("the vector store answers: %d popular items", len(self.latest.popular))
        self.reachable, self.problem = True, ""
