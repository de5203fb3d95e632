"""Where a pool's pods come from: a list, a DNS name that is looked up again and again, or a cluster's EndpointSlices.

A source tells what it knows whenever that changes; who listens puts the pools of a model together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from recsys_gateway.config import PodService, Pool
from recsys_gateway.serving.balancing.pod import PodSpec
from recsys_gateway.serving.endpoint_slices import EndpointSlice, FoundPod, missing_port, pods_of
from recsys_gateway.serving.slice_watch import Follower, SliceWatches

DNS_SECONDS = 5.0

log = logging.getLogger(__name__)

Found = Callable[[Sequence[PodSpec]], None]


class PodSource(Protocol):
    """One pool's pods."""

    def start(self, found: Found) -> None:
        """Begin to look; ``found`` is called with all pods whenever they change. Needs a running loop."""
        ...

    async def close(self) -> None: ...


def listed_pods(pool: Pool) -> list[PodSpec]:
    """The pods that the configuration names."""
    return [_spec(pool, str(endpoint.url).rstrip("/")) for endpoint in pool.endpoints]


def source_of(pool: Pool, slices: SliceWatches, random: Random) -> PodSource:
    if pool.service is not None:
        return ServicePods(pool, pool.service, slices)
    return DnsPods(pool, random) if pool.dns else ListedPods(pool)


class ListedPods:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def start(self, found: Found) -> None:
        found(listed_pods(self._pool))

    async def close(self) -> None:
        """Nothing runs."""


class ServicePods:
    """The pods of a cluster's Services, as their EndpointSlices tell."""

    def __init__(self, pool: Pool, service: PodService, slices: SliceWatches) -> None:
        self._pool = pool
        self._service = service
        self._slices = slices
        self._known: list[FoundPod] | None = None
        self._follower: Follower | None = None
        self._problem: str | None = None

    def start(self, found: Found) -> None:
        self._follower = Follower(self._service, lambda slices: self._on_slices(slices, found))
        self._slices.follow(self._follower)

    async def close(self) -> None:
        if self._follower is not None:
            self._slices.forget(self._follower)

    def _on_slices(self, slices: Sequence[EndpointSlice], found: Found) -> None:
        pods = pods_of(slices, self._service, {pod.url for pod in self._known or ()})
        problem = missing_port(slices, self._service)
        if problem and problem != self._problem:
            log.warning("pods cannot be called: %s", problem, extra={"pool": self._pool.name})
        self._problem = problem
        if pods == self._known:
            return
        accepting = sum(pod.accepting for pod in pods)
        log.info("pods found", extra={"pool": self._pool.name, "pods": len(pods), "accepting": accepting})
        self._known = pods
        found([_spec(self._pool, pod.url, accepting=pod.accepting) for pod in pods])


class DnsPods:
    """Each address of the name is a pod. A name without addresses has no pods; while no server of names answers, what
    was known stays."""

    def __init__(self, pool: Pool, random: Random) -> None:
        self._pool = pool
        self._random = random
        self._task: asyncio.Task[None] | None = None

    def start(self, found: Found) -> None:
        self._task = asyncio.create_task(self._watch(found), name=f"dns {self._pool.dns}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self, found: Found) -> None:
        host, _, port = (self._pool.dns or "").rpartition(":")
        known: list[PodSpec] | None = None
        while True:
            specs = await self._look_up(host, int(port))
            if specs is not None and specs != known:
                log.info("pods found", extra={"pool": self._pool.name, "dns": host, "pods": len(specs)})
                known = specs
                found(specs)
            await asyncio.sleep(DNS_SECONDS * self._random.uniform(0.8, 1.2))

    async def _look_up(self, host: str, port: int) -> list[PodSpec] | None:
        """The pods now; None where nobody could say."""
        try:
            rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            gone = error.errno in {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
            return [] if gone else None
        hosts = sorted({str(row[4][0]) for row in rows})
        return [
            _spec(self._pool, f"http://[{each}]:{port}" if ":" in each else f"http://{each}:{port}") for each in hosts
        ]


def _spec(pool: Pool, url: str, *, accepting: bool = True) -> PodSpec:
    return PodSpec(url, pool.name, pool.weight, pool.slots, pool.track, accepting)
