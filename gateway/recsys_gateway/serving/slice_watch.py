"""Watches the EndpointSlices of namespaces: one list and one watch each, whatever the number of pools.

The last known set stays while the API server is away, and while it refuses. A watch that ends is begun again where it
ended; where that place is gone (410), or the server says anything else, everything is listed anew.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from random import Random

from recsys_gateway.config import ServiceReference
from recsys_gateway.serving.balancer import clock
from recsys_gateway.serving.endpoint_slices import CHANGES, EndpointSlice, NotASlice, SliceSet, common_labels
from recsys_gateway.serving.kubernetes_api import ApiAway, ApiRefused, KubernetesApi

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
"""An API server that comes back is asked soon: one small list a gateway."""
WATCH_SECONDS = 60
"""After which a watch ends and begins again: a connection that died in silence is found out by then."""

log = logging.getLogger(__name__)

Changed = Callable[[Sequence[EndpointSlice]], None]


@dataclass(eq=False, slots=True)
class Follower:
    """Who wants to know of the Services that ``reference`` names."""

    reference: ServiceReference
    changed: Changed


class SliceWatches:
    """The watches of all namespaces. Nothing of Kubernetes is imported before something is followed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._watches: dict[str, NamespaceWatch] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def follow(self, follower: Follower) -> None:
        """``follower`` is told of all slices of its namespace (others than its own included) whenever some change."""
        namespace = follower.reference.namespace
        if namespace not in self._watches:
            self._watches[namespace] = NamespaceWatch(namespace, KubernetesApi(), self._random)
        self._watches[namespace].add(follower)

    def forget(self, follower: Follower) -> None:
        watch = self._watches.get(follower.reference.namespace)
        if watch is not None and not watch.remove(follower):
            del self._watches[follower.reference.namespace]
            task = asyncio.create_task(watch.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @property
    def ages(self) -> dict[str, float]:
        """By namespace: seconds since the API server was heard of it; infinite where it never was."""
        return {namespace: clock() - watch.heard_at for namespace, watch in self._watches.items()}

    async def close(self) -> None:
        await asyncio.gather(*(watch.close() for watch in self._watches.values()), *self._closing)


class NamespaceWatch:
    """One namespace's slices, narrowed to the labels that all followers ask for."""

    def __init__(self, namespace: str, api: KubernetesApi, random: Random) -> None:
        self.heard_at = -math.inf
        self._namespace = namespace
        self._api = api
        self._random = random
        self._known = SliceSet()
        self._listed_at = -math.inf
        self._version = ""
        self._followers: list[Follower] = []
        self._labels: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    def add(self, follower: Follower) -> None:
        self._followers.append(follower)
        self._begin()
        if self._listed_at > -math.inf:
            follower.changed(self._known.slices)

    def remove(self, follower: Follower) -> int:
        """How many followers are left."""
        self._followers.remove(follower)
        return len(self._followers)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._api.close()

    def _begin(self) -> None:
        """A follower with other labels may need a wider watch: it begins anew then, and what is known stays."""
        labels = common_labels(follower.reference for follower in self._followers)
        if self._task is not None:
            if labels == self._labels:
                return
            self._task.cancel()
        self._labels, self._version = labels, ""
        self._task = asyncio.create_task(self._run(), name=f"endpoint slices of {self._namespace}")

    async def _run(self) -> None:
        pause = 0.0
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                pause = 0.0
                continue
            except ApiAway as error:
                problem = str(error)
            except (ApiRefused, NotASlice) as error:
                problem, self._version = str(error), ""
                if isinstance(error, ApiRefused) and error.gone and clock() - self._listed_at > LONGEST_PAUSE_SECONDS:
                    pause = 0.0
            except Exception as error:  # whatever a proxy in between makes of an answer, the watching goes on
                log.exception("unforeseen error while watching endpoint slices", extra={"namespace": self._namespace})
                problem, self._version = type(error).__name__, ""
            self._note(problem)
            pause = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * pause))
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))

    async def _list(self) -> None:
        documents, version = await self._api.list_slices(self._namespace, self._labels)
        self._known.replace(documents)
        self._listed_at = clock()
        self._heard(version)
        self._tell()

    async def _watch(self) -> None:
        """To the watch's orderly end."""
        seconds = math.ceil(WATCH_SECONDS * self._random.uniform(0.8, 1.2))
        async with aclosing(self._api.watch_slices(self._namespace, self._labels, self._version, seconds)) as events:
            async for event in events:
                if event.kind in CHANGES:
                    self._known.apply(event.kind, event.document)
                    self._tell()
                self._heard(event.version)

    def _heard(self, version: str) -> None:
        self._version, self.heard_at = version, clock()
        if self._problem:
            log.info("the API server is there again", extra={"namespace": self._namespace})
            self._problem = ""

    def _tell(self) -> None:
        for follower in list(self._followers):
            follower.changed(self._known.slices)

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            extra = {"namespace": self._namespace, "problem": problem}
            log.warning("endpoint slices cannot be watched: the last known pods stay", extra=extra)
        self._problem = problem
