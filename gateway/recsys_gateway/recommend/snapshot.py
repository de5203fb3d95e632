"""What the gateway keeps of the catalogue in memory, so that an answer can still be given while the store is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys_gateway.catalog.filters import ITEM_FIELDS, FieldKind
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.catalog.store import StoreUnavailable
from recsys_gateway.recommend.claims import Claims
from recsys_gateway.recommend.retrieve import Catalog
from recsys_gateway.recommend.vocabulary import Vocabulary

POPULAR_ITEMS = 500
REFRESH_SECONDS = 60.0
RETRY_SECONDS = 1.0

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
    """Holds the latest snapshot, and refreshes it in the background. ``reachable`` says how the last try went."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.latest = CatalogSnapshot()
        self.reachable = False
        self.problem = "not asked yet"

    async def run(self) -> None:
        """Refresh until cancelled: every minute, every second while the store is away or empty."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS if self.reachable and self.latest.popular else RETRY_SECONDS)

    async def refresh(self) -> None:
        """Take a new snapshot; where the store is away the old one stays."""
        try:
            popular = tuple(await self._catalog.popular(POPULAR_ITEMS))
            fields = await self._catalog.fields()
        except StoreUnavailable as error:
            if self.reachable or self.problem == "not asked yet":
                log.warning("the vector store cannot be reached: %s", error)
            self.reachable, self.problem = False, str(error)
            return
        if not self.reachable:
            log.info("the vector store answers: %d popular items", len(popular))
        self.reachable, self.problem = True, ""
        vocabulary = await asyncio.to_thread(Vocabulary.of, [stored.item.document for stored in popular])
        self.latest = CatalogSnapshot(popular, fields, vocabulary, Claims.of(stored.item for stored in popular))

    async def fields(self, wanted: Mapping[str, object]) -> Mapping[str, FieldKind]:
        """The fields that filters may use; asked anew where ``wanted`` names one that is not known yet."""
        known = self.latest.fields
        if wanted and (known is None or not wanted.keys() <= known.keys()):
            try:
                return await self._catalog.fields()
            except StoreUnavailable:
                pass  # what is known must do: the request is answered from memory, too
        return known or ITEM_FIELDS
