"""Each pod's own metrics, twice a second: concurrently, with jitter, each pod in its own rhythm."""

from __future__ import annotations

import asyncio
import logging
from random import Random

import aiohttp

from recsys_gateway.config import PodMetrics
from recsys_gateway.engines.load_metrics import LoadMetrics
from recsys_gateway.serving.balancer import Balancer, clock
from recsys_gateway.serving.balancing.pod import PodState
from recsys_gateway.serving.missing_series import MissingSeries

MAX_TEXT_BYTES = 8 << 20

log = logging.getLogger(__name__)


class PodScraper:
    """Scrapes the pods of one model for as long as they are there. ``follow`` is called whenever they change."""

    def __init__(
        self,
        balancer: Balancer,
        load: LoadMetrics,
        path: str,
        settings: PodMetrics,
        session: aiohttp.ClientSession,
        random: Random,
    ) -> None:
        self.missing = MissingSeries(balancer.model.name)
        self._balancer = balancer
        self._load = load
        self._path = path
        self._settings = settings
        self._session = session
        self._random = random
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def follow(self) -> None:
        """One task a pod, no more and no less. Needs a running loop."""
        pods = {pod.spec.url: pod for pod in self._balancer.pods}
        for url in [url for url in self._tasks if url not in pods]:
            self._tasks.pop(url).cancel()
            self.missing.forget(url)
        for url, pod in pods.items():
            if url not in self._tasks:
                self._tasks[url] = asyncio.create_task(self._watch(pod), name=f"metrics of {url}")

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _watch(self, pod: PodState) -> None:
        await asyncio.sleep(self._settings.interval_seconds * self._random.random())
        while True:
            try:
                await self._scrape(pod)
            except Exception:  # one pod's nonsense must not end the watching of it
                log.exception("unforeseen error while reading metrics", extra={"pod": pod.spec.url})
            await asyncio.sleep(self._settings.interval_seconds * self._random.uniform(0.8, 1.2))

    async def _scrape(self, pod: PodState) -> None:
        url, dispatcher = pod.spec.url, self._balancer.dispatcher_of(pod)
        started, own = clock(), pod.in_flight
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                status, text = await self._read(url)
        except TimeoutError:
            dispatcher.scrape_timed_out(url, started, clock())
            return
        except aiohttp.ClientConnectorError:
            dispatcher.scrape_refused(url, clock())
            return
        except (aiohttp.ClientError, OSError):
            return  # a connection that broke says nothing yet; the next scrape does
        if status != 200:
            dispatcher.scrape_answered(url, clock())
            self.missing.unreadable(url, f"{self._path} answers {status}")
            return
        reading = self._load.read(text, self._balancer.model.token_budget)
        self.missing.note(url, reading.missing)
        dispatcher.observe(url, reading.sample, own, clock())

    async def _read(self, url: str) -> tuple[int, str]:
        async with self._session.get(url + self._path) as response:
            body = await response.content.read(MAX_TEXT_BYTES)
            return response.status, body.decode(errors="replace")
