"""What a running gateway holds, and how each part is doing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from random import Random

from prometheus_client import Counter, Histogram

from recsys_gateway.api.api_keys import KeyRing
from recsys_gateway.api.config_watch import watch_config
from recsys_gateway.api.envelope import Gate
from recsys_gateway.catalog.embedders import TextEmbedder
from recsys_gateway.config import GatewayConfig, PolicyName, Role, Track
from recsys_gateway.document import ConfigurationError
from recsys_gateway.engines.ranking_modes import refusal
from recsys_gateway.recommend.embedder_loader import EmbedderLoader
from recsys_gateway.recommend.recommender import Recommender
from recsys_gateway.serving.collector import FleetCollector
from recsys_gateway.serving.engine_calls import CallObserver
from recsys_gateway.serving.fleet import Fleet
from recsys_gateway.serving.upstream import Upstream
from recsys_gateway.telemetry import Metrics
from recsys_gateway.tracing import Tracer

_FIXED = ("embedder", "vector_store", "recommendation", "auth", "cors", "tracing", "metrics_source")
"""Parts of the configuration that are taken at the start only."""

log = logging.getLogger(__name__)


def check(config: GatewayConfig) -> None:
    """Refuse what parses and yet cannot run.

    Raises:
        ConfigurationError: one line a problem, each with the path of its field.
    """
    tuned = config.model(Role.TUNED)
    if config.recommendation and tuned and (why := refusal(config.recommendation.mode, tuned, config.recommendation)):
        raise ConfigurationError(f"recommendation.mode: {why}")


class Runtime:
    """Lives from the start of the server to its end. ``recommender`` is None where no recommendation is configured."""

    def __init__(
        self,
        config: GatewayConfig,
        metrics: Metrics,
        tracer: Tracer,
        gate: Gate,
        keys: KeyRing | None,
        file: Path | None,
    ) -> None:
        self.config = config
        self.metrics = metrics
        self.tracer = tracer
        self.gate = gate
        self._keys = keys
        self._file = file
        self._tasks: list[asyncio.Task[None]] = []
        self.fleet = Fleet(config, _observer(metrics), Random())
        self._collector = FleetCollector(self.fleet)
        metrics.registry.register(self._collector)
        upstreams = {role: Upstream(calls, tracer.headers) for role in Role if (calls := self.fleet.of(role))}
        self.recommender = _recommender(config, upstreams, tracer)
        self._loader: EmbedderLoader | None = None
        if config.embedder and not self.recommender:
            self._loader = EmbedderLoader(config.embedder)

    @property
    def keeps_prefixes(self) -> bool:
        """Whether requests that begin alike should meet on one pod."""
        return self.config.balancing.policy is PolicyName.AFFINITY

    @property
    def embedder(self) -> TextEmbedder | None:
        loader = self.recommender.embedder if self.recommender else self._loader
        return loader.embedder if loader else None

    def start(self) -> None:
        self.fleet.start()
        if self.recommender:
            self.recommender.start()
        if self._loader:
            self._tasks.append(asyncio.create_task(self._loader.run(), name="embedder"))
        if self._keys:
            self._tasks.append(asyncio.create_task(self._keys.watch(), name="API keys"))
        if self._file:
            watch = watch_config(self._file, self.config, self.apply)
            self._tasks.append(asyncio.create_task(watch, name="configuration"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.recommender:
            await self.recommender.close()
        await self.fleet.close()
        self.metrics.registry.unregister(self._collector)

    def apply(self, config: GatewayConfig) -> None:
        """Take a new configuration.

        Raises:
            ValueError: it cannot be applied to a running gateway; nothing is changed then.
        """
        check(config)
        self.fleet.apply(config)
        kept = {name: getattr(self.config, name) for name in _FIXED}
        waiting = [name for name, value in kept.items() if value != getattr(config, name)]
        if waiting:
            log.warning("these parts change with the next start only", extra={"parts": waiting})
        self.config = config.model_copy(update=kept)

    async def readiness(self) -> tuple[bool, dict[str, dict[str, object]]]:
        """Whether an answer can be given, and how each part is doing. Engines are asked now; they may be missing.

        An embedder that is still loading is waited for; one that cannot be loaded is not: key words stand in for it.
        """
        models = list(self.fleet)
        healthy = await asyncio.gather(*(live.calls.healthy() for live in models))
        parts: dict[str, dict[str, object]] = {}
        for live, well in zip(models, healthy, strict=True):
            role = live.model.role.value
            name = role if role not in parts else f"{role}:{live.model.name}"
            parts[name] = {"ready": well, "model": live.model.name}
            if problems := live.metrics_problems:
                parts[name]["metrics"] = problems
        ready = any(healthy)
        if self.recommender is not None:
            keeper, embedder = self.recommender.keeper, self.recommender.embedder
            known = len(keeper.latest.popular)
            parts["embedder"] = {"ready": not embedder.problem, "detail": embedder.problem}
            detail = keeper.problem or self.recommender.store.missing
            parts["vectorStore"] = {"ready": keeper.reachable, "detail": detail}
            parts["memory"] = {"ready": known > 0, "detail": f"{known} popular items"}
            ready = known > 0 and embedder.settled
        if self.gate.closed:
            parts["shutdown"] = {"ready": False, "detail": "draining: calls that have begun are finished"}
        return ready and not self.gate.closed, parts


def _recommender(config: GatewayConfig, upstreams: Mapping[Role, Upstream], tracer: Tracer) -> Recommender | None:
    """None where no recommendation is configured."""
    if not (config.recommendation and config.vector_store and config.embedder):
        return None
    # Imported here alone: Milvus's client takes a second, and memory that models alone do not need.
    from recsys_gateway.catalog.store import CatalogStore
    from recsys_gateway.catalog.update_queue import UpdateQueue

    loader, store = EmbedderLoader(config.embedder), CatalogStore(config.vector_store)
    updates = UpdateQueue(config.vector_store, lambda: loader.embedder, store.counts)
    token_file = config.vector_store.token_file
    return Recommender(config.recommendation, store, updates, loader, upstreams, token_file, tracer.span)


def _observer(metrics: Metrics) -> CallObserver:
    """The calls' numbers go into metrics. Children are kept: finding one by its labels costs more than counting."""
    called: dict[tuple[Role, str, Track, str], Counter] = {}
    held: dict[tuple[Role, str, Track], Histogram] = {}
    waits = {role: metrics.queue_wait_seconds.labels(role.value) for role in Role}

    def count(role: Role, pool: str, track: Track, outcome: str) -> None:
        key = role, pool, track, outcome
        child = called.get(key)
        if child is None:
            child = called[key] = metrics.upstream_requests.labels(role.value, pool, track.value, outcome)
        child.inc()

    def observe(role: Role, pool: str, track: Track, seconds: float) -> None:
        key = role, pool, track
        child = held.get(key)
        if child is None:
            child = held[key] = metrics.upstream_seconds.labels(role.value, pool, track.value)
        child.observe(seconds)

    return CallObserver(
        called=count,
        held=observe,
        retried=lambda role: metrics.retries.labels(role.value).inc(),
        waited=lambda role, seconds: waits[role].observe(seconds),
    )
