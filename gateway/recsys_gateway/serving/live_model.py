"""One configured model, running: its pods are looked for and watched, and calls to it are balanced."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from random import Random

import aiohttp

from recsys_gateway.config import GatewayConfig, Pool, PrometheusMetrics, ServedModel
from recsys_gateway.credentials import watch_secret
from recsys_gateway.engines.registry import dialect_of
from recsys_gateway.serving.balancer import Balancer
from recsys_gateway.serving.balancing.pod import PodSpec
from recsys_gateway.serving.discovery import PodSource, source_of
from recsys_gateway.serving.engine_calls import CallObserver, EngineCalls
from recsys_gateway.serving.prometheus_source import PrometheusReader
from recsys_gateway.serving.scraping import PodScraper
from recsys_gateway.serving.slice_watch import SliceWatches


class LiveModel:
    """``start`` needs a running loop; ``apply`` takes a new configuration while calls run."""

    def __init__(
        self,
        model: ServedModel,
        config: GatewayConfig,
        session: aiohttp.ClientSession,
        slices: SliceWatches,
        observer: CallObserver,
        random: Random,
    ) -> None:
        self.balancer = Balancer(model, config.admission, config.balancing, random)
        self.calls = EngineCalls(self.balancer, session, config.balancing.retry_budget, observer=observer)
        self._slices = slices
        self._random = random
        self._sources: dict[Pool, PodSource] = {}
        self._found: dict[Pool, Sequence[PodSpec]] = {}
        self._started = False
        self._key_watch: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._metrics = _metrics_reader(self.balancer, config, session, random)

    @property
    def model(self) -> ServedModel:
        return self.balancer.model

    @property
    def metrics_problems(self) -> dict[str, str]:
        """By pod: why its metrics cannot be used."""
        return self._metrics.missing.problems if self._metrics else {}

    def start(self) -> None:
        self._started = True
        self._look_for(self.model.pools)
        self._watch_key()

    async def close(self) -> None:
        if self._metrics is not None:
            await self._metrics.close()
        if self._key_watch is not None:
            self._key_watch.cancel()
        await asyncio.gather(*(source.close() for source in self._sources.values()), *self._closing)

    def apply(self, model: ServedModel, config: GatewayConfig) -> None:
        """New pools, weights, slots, timeouts and rules; a pod that is no longer named keeps its calls to their end."""
        other_key = model.api_key_file != self.model.api_key_file
        self.balancer.apply(model, config.admission, config.balancing)
        self.calls.apply(model, config.balancing.retry_budget)
        if self._started:
            self._look_for(model.pools)
            if other_key:
                self._watch_key()

    def _watch_key(self) -> None:
        if self._key_watch is not None:
            self._key_watch.cancel()
        file = self.model.api_key_file
        self._key_watch = (
            asyncio.create_task(watch_secret(file, self.calls.use_key), name="engine key") if file else None
        )

    def _look_for(self, pools: Sequence[Pool]) -> None:
        for gone in [pool for pool in self._sources if pool not in pools]:
            task = asyncio.create_task(self._sources.pop(gone).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._found.pop(gone, None)
        for pool in pools:
            if pool not in self._sources:
                source = self._sources[pool] = source_of(pool, self._slices, self._random)
                source.start(partial(self._on_found, pool))
        self._tell()

    def _on_found(self, pool: Pool, specs: Sequence[PodSpec]) -> None:
        self._found[pool] = specs
        self._tell()

    def _tell(self) -> None:
        known = {spec.url: spec for specs in self._found.values() for spec in specs}
        self.balancer.set_pods(list(known.values()))
        if self._metrics is not None:
            self._metrics.follow()


def _metrics_reader(
    balancer: Balancer, config: GatewayConfig, session: aiohttp.ClientSession, random: Random
) -> PodScraper | PrometheusReader | None:
    """What reads the load of the pods; None for an engine that does not say."""
    source, dialect = config.metrics_source, dialect_of(balancer.model.engine)
    if dialect.load is None or dialect.metrics_path is None:
        return None
    if isinstance(source, PrometheusMetrics):
        return PrometheusReader(balancer, dialect.load, source, session, random)
    return PodScraper(balancer, dialect.load, dialect.metrics_path, source, session, random)
