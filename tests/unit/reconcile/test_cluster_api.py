"""Which requests wait for which."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from kubernetes.aio.client.api_client import ApiClient
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile.cluster_api import REQUESTS_AT_ONCE, ClusterApi
from recsys_operator.reconcile.kinds import CONFIG_MAP, LEASE, Path


class HeldUp:
    """A client whose requests are answered when ``answering`` is set, those for leases at once."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.under_way: list[str] = []
        self.all_under_way = asyncio.Event()
        self.configuration = SimpleNamespace(host="https://cluster.test", auth_settings=self._settings)

    async def _settings(self) -> dict[str, Any]:
        return {}

    async def call_api(self, verb: str, url: str, headers: dict[str, str], body: Any, **_: Any) -> Any:
        self.under_way.append(url)
        if "/leases/" not in url:
            if len(self.under_way) == REQUESTS_AT_ONCE:
                self.all_under_way.set()
            await self.answering.wait()
        return SimpleNamespace(status=200, read=self._nothing)

    async def _nothing(self) -> bytes:
        return b"{}"


async def test_the_lease_waits_for_no_other_request() -> None:
    client = HeldUp()
    api = ClusterApi(cast(ApiClient, client), Metrics())
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for n in range(3 * REQUESTS_AT_ONCE):
            tasks.create_task(api.get(Path(CONFIG_MAP, "default", f"c-{n}")))
        await client.all_under_way.wait()
        assert await api.get(Path(LEASE, "default", "recsys-operator")) == {}
        assert len(client.under_way) == REQUESTS_AT_ONCE + 1
        client.answering.set()

    assert len(client.under_way) == 3 * REQUESTS_AT_ONCE + 1
