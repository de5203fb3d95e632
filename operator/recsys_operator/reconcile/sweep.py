"""Finds what is gone although no watch said so: a watch that has to begin anew is not told of deletions in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from recsys_operator.components.labels import SYSTEM
from recsys_operator.components.manifest import ApiKind, Manifest, kind_of
from recsys_operator.reconcile.child_cache import ChildCache, gone
from recsys_operator.reconcile.cluster_api import ApiRefused, ApiUnavailable, ClusterApi
from recsys_operator.reconcile.kinds import Path
from recsys_operator.reconcile.work_queue import Key

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
SETTLE_SECONDS = 1.0
"""After a watch began anew: the others do so at the same time."""
_PAGE = "500"


class Sweeper:
    """``namespaces``: "" alone for all of them."""

    def __init__(
        self, api: ClusterApi, cache: ChildCache, mark: Callable[[Key], None], namespaces: Sequence[str]
    ) -> None:
        self._api = api
        self._cache = cache
        self._mark = mark
        self._namespaces = namespaces
        self._wanted = asyncio.Event()

    def ask(self) -> None:
        """Soon, out of turn."""
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wanted.wait()
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self.sweep()
            except (ApiUnavailable, ApiRefused) as error:
                _log.warning("not swept", extra={"error": str(error)})

    async def sweep(self) -> None:
        """Lists the metadata of just those kinds that the cache holds something of."""
        cached: dict[ApiKind, list[tuple[Key, Manifest]]] = {}
        for system, body in self._cache.all_objects():
            cached.setdefault(kind_of(body), []).append((system, body))
        for kind, objects in cached.items():
            listed, version = await self._list(kind)
            lost = gone((body for _, body in objects), listed, version)
            self._remove(objects, lost)

    def _remove(self, objects: Iterable[tuple[Key, Manifest]], lost: Sequence[Manifest]) -> None:
        uids = {body["metadata"]["uid"] for body in lost}
        for system, body in objects:
            if body["metadata"]["uid"] in uids:
                self._cache.remove(body)
                self._mark(system)

    async def _list(self, kind: ApiKind) -> tuple[dict[str, str], int]:
        """UIDs with their versions, and the version as of which the list is complete: the first page's."""
        found: dict[str, str] = {}
        version: int | None = None
        for namespace in self._namespaces:
            parameters = {"labelSelector": SYSTEM, "limit": _PAGE}
            while True:
                page = await self._api.list_objects(Path(kind, namespace), metadata_only=True, **parameters)
                metadata = page["metadata"]
                version = min(version or int(metadata["resourceVersion"]), int(metadata["resourceVersion"]))
                found |= {
                    item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in page.get("items") or ()
                }
                if not metadata.get("continue"):
                    break
                parameters["continue"] = metadata["continue"]
        return found, version or 0
