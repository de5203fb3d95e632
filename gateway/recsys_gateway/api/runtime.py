"""What a running gateway holds, and how each part is doing."""

from __future__ import annotations

import asyncio

from recsys_gateway.config import ConfigurationError, GatewayConfig, Role, ServedModel
from recsys_gateway.engines.registry import dialect_of
from recsys_gateway.recommend.rank import RANKERS
from recsys_gateway.recommend.recommender import Recommender
from recsys_gateway.serving.upstream import Upstream, new_session
from recsys_gateway.telemetry import Metrics


def check(config: GatewayConfig) -> None:
    """Refuse what parses and yet cannot run.

    Raises:
        ConfigurationError: one line a problem, each with the path of its field.
    """
    problems = []
    for index, model in enumerate(config.models):
        try:
            dialect_of(model.engine)
        except ConfigurationError as error:
            problems.append(f"models.{index}.engine: {error}")
    if config.recommendation and config.recommendation.mode not in RANKERS:
        modes = ", ".join(RANKERS)
        problems.append(f"recommendation.mode: {config.recommendation.mode} is not there yet; modes: {modes}")
    if problems:
        raise ConfigurationError("\n".join(problems))


class Runtime:
    """Lives from the start of the server to its end. ``recommender`` is None where no recommendation is configured."""

    def __init__(self, config: GatewayConfig, metrics: Metrics) -> None:
        self.config = config
        self.metrics = metrics
        self._session = new_session()
        self.upstreams = {role: self._upstream(model) for role in Role if (model := config.model(role))}
        self.recommender: Recommender | None = None
        if config.recommendation and config.vector_store and config.embedder:
            self.recommender = Recommender(
                config.recommendation, config.vector_store, config.embedder.path, self.upstreams
            )

    def _upstream(self, model: ServedModel) -> Upstream:
        def observe(role: Role, pool: str, outcome: str) -> None:
            self.metrics.upstream_requests.labels(role.value, pool, "stable", outcome).inc()

        upstream = Upstream(model, self._session, observe=observe)
        for state in upstream.endpoints:
            gauge = self.metrics.pod_inflight.labels(model.role.value, state.pool, state.url)
            gauge.set_function(state.calls)
        return upstream

    def start(self) -> None:
        if self.recommender:
            self.recommender.start()

    async def close(self) -> None:
        if self.recommender:
            await self.recommender.close()
        await self._session.close()

    async def readiness(self) -> tuple[bool, dict[str, dict[str, object]]]:
        """Whether an answer can be given, and how each part is doing. Engines are asked now; they may be missing.

        An embedder that is still loading is waited for; one that cannot be loaded is not: key words stand in for it.
        """
        healthy = await asyncio.gather(*(upstream.healthy() for upstream in self.upstreams.values()))
        parts: dict[str, dict[str, object]] = {
            role.value: {"ready": well, "model": upstream.model.name}
            for (role, upstream), well in zip(self.upstreams.items(), healthy, strict=True)
        }
        if self.recommender is None:
            return any(healthy), parts
        keeper, embedder = self.recommender.keeper, self.recommender.embedder
        known = len(keeper.latest.popular)
        parts["embedder"] = {"ready": embedder.embedder is not None, "detail": embedder.problem}
        parts["vectorStore"] = {"ready": keeper.reachable, "detail": keeper.problem}
        parts["memory"] = {"ready": known > 0, "detail": f"{known} popular items"}
        return known > 0 and embedder.settled, parts
