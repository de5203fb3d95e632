"""All models of the configuration, by the names that clients ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import aiohttp

from recsys_gateway.config import GatewayConfig, Role, ServedModel
from recsys_gateway.serving.engine_calls import CallObserver, EngineCalls, new_session
from recsys_gateway.serving.gateway_count import GatewayCount
from recsys_gateway.serving.live_model import LiveModel
from recsys_gateway.serving.slice_watch import SliceWatches

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, or an adapter of it, that a client has named."""

    calls: EngineCalls
    name: str
    adapter: bool = False


class Fleet:
    """Made on a running loop: its connections belong to that loop."""

    def __init__(self, config: GatewayConfig, observer: CallObserver, random: Random) -> None:
        self.session: aiohttp.ClientSession = new_session()
        self.slices = SliceWatches(random)
        self.models = [LiveModel(model, config, self.session, self.slices, observer, random) for model in config.models]
        self._gateways = GatewayCount(self.slices, self._on_gateways)
        self._peers = config.balancing.gateways
        self._asked: dict[str, Asked] = {}
        self._index()

    def __iter__(self) -> Iterator[LiveModel]:
        return iter(self.models)

    def start(self) -> None:
        for live in self.models:
            live.start()
        self._gateways.follow(self._peers)

    async def close(self) -> None:
        await asyncio.gather(*(live.close() for live in self.models))
        await self.slices.close()
        await self.session.close()

    def find(self, name: str | None) -> Asked | None:
        """What ``name`` means; without a name the only model, where there is one alone."""
        if name is None:
            return self._asked[self.models[0].model.name] if len(self.models) == 1 else None
        return self._asked.get(name)

    @property
    def names(self) -> list[str]:
        """Models and adapters, as clients may ask for them."""
        return list(self._asked)

    def of(self, role: Role) -> EngineCalls | None:
        return next((live.calls for live in self.models if live.model.role is role), None)

    def apply(self, config: GatewayConfig) -> None:
        """Take new settings for the same models.

        Raises:
            ValueError: the models themselves are others than before; nothing is changed then.
        """
        if [_identity(live.model) for live in self.models] != [_identity(model) for model in config.models]:
            raise ValueError("models: names, roles, engines and their order are taken at the start only")
        for live, model in zip(self.models, config.models, strict=True):
            live.apply(model, config)
        self._index()
        self._gateways.follow(config.balancing.gateways)

    def _on_gateways(self, count: int | None) -> None:
        for live in self.models:
            live.balancer.count_gateways(count)

    def _index(self) -> None:
        self._asked = {}
        for live in self.models:
            for adapter in live.model.adapters:
                self._asked[adapter] = Asked(live.calls, adapter, adapter=True)
        for live in self.models:
            self._asked[live.model.name] = Asked(live.calls, live.model.name)


def _identity(model: ServedModel) -> tuple[str, Role, str]:
    return model.name, model.role, model.engine.value
