"""The pods' metrics as a Prometheus server has them, where the gateway may not scrape the pods itself.

A range of the last minute is asked for instead of an instant: only then does each value come with the time when it was
scraped, and a value may be old. It says nothing of the pod's health, which calls alone show here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from recsys_gateway.config import PrometheusMetrics
from recsys_gateway.engines.load_metrics import LoadMetrics
from recsys_gateway.serving.balancer import Balancer, clock
from recsys_gateway.serving.missing_series import MissingSeries

RANGE = "1m"
HISTORY_SECONDS = 90.0
HISTORY_STEP_SECONDS = 0.5

log = logging.getLogger(__name__)

Series = tuple[str, Mapping[str, str], float]


class PrometheusReader:
    """Reads for the pods of one model."""

    def __init__(
        self,
        balancer: Balancer,
        load: LoadMetrics,
        settings: PrometheusMetrics,
        session: aiohttp.ClientSession,
        random: Random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.missing = MissingSeries(balancer.model.name)
        self._balancer = balancer
        self._load = load
        self._settings = settings
        self._session = session
        self._random = random
        self._wall_clock = wall_clock
        self._own: deque[tuple[float, dict[str, int]]] = deque()
        self._seen: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._problem = ""

    def follow(self) -> None:
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._remember(), name="own calls of the last minute"),
                asyncio.create_task(self._watch(), name=f"prometheus {self._settings.url}"),
            ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _remember(self) -> None:
        """A scrape is some seconds old when it gets here: what was this gateway's own then must be known."""
        while True:
            now = clock()
            self._own.append((now, {pod.spec.url: pod.in_flight for pod in self._balancer.pods}))
            while self._own and self._own[0][0] < now - HISTORY_SECONDS:
                self._own.popleft()
            await asyncio.sleep(HISTORY_STEP_SECONDS)

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    self._take(await self._query())
                self._note("")
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                self._note(f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._settings.interval_seconds * self._random.uniform(0.8, 1.2))

    async def _query(self) -> Sequence[Mapping[str, Any]]:
        names = "|".join(self._load.names)
        url = f"{str(self._settings.url).rstrip('/')}/api/v1/query"
        parameters = {"query": f'{{__name__=~"{names}"}}[{RANGE}]'}
        async with self._session.get(url, params=parameters) as response:
            body = await response.json(content_type=None)
        match body:
            case {"status": "success", "data": {"resultType": "matrix", "result": list(rows)}}:
                return rows
            case _:
                raise ValueError(f"no matrix in the answer (status {response.status})")

    def _take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        by_instance: dict[str, list[Series]] = {}
        taken_at: dict[str, float] = {}
        for row in rows:
            labels = dict(row["metric"])
            when, value = row["values"][-1]
            instance = labels.get("instance", "")
            by_instance.setdefault(instance, []).append((labels.pop("__name__"), labels, float(value)))
            taken_at[instance] = max(taken_at.get(instance, 0.0), float(when))
        now, wall = clock(), self._wall_clock()
        for pod in self._balancer.pods:
            instance, url = urlsplit(pod.spec.url).netloc, pod.spec.url
            if instance not in by_instance:
                self.missing.unreadable(url, f"Prometheus has no series of the last {RANGE} with instance={instance}")
                continue
            if taken_at[instance] <= self._seen.get(url, 0.0):
                continue
            self._seen[url] = taken_at[instance]
            reading = self._load.read_series(by_instance[instance], self._balancer.model.token_budget)
            self.missing.note(url, reading.missing)
            taken = now - max(0.0, wall - taken_at[instance])
            dispatcher = self._balancer.dispatcher_of(pod)
            dispatcher.observe(url, reading.sample, self._own_at(url, taken), now, taken)

    def _own_at(self, url: str, when: float) -> int:
        counts = [own.get(url, 0) for at, own in self._own if abs(at - when) <= HISTORY_STEP_SECONDS]
        return max(counts, default=0)

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error("Prometheus cannot be read: balancing goes by own counts", extra={"problem": problem})
        self._problem = problem
