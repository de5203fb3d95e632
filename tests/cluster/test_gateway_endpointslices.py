"""The gateway as a process against a real API server, with the token of its own service account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from controlplane.cluster import Cluster
from controlplane.control_plane import ControlPlane
from fake_engine.process import FakeEngineProcess
from hand_made_slices import GATEWAYS, LABELS, HandMadeSlices, gateway_kubeconfig, own_address
from serving_harness import Gateway, ask, chat, serving_gateway, until
from workloads import deployment

KNOWN_WITHIN_SECONDS = 1.0


def config(namespace: str, **balancing: Any) -> dict[str, Any]:
    pool = {"name": "a", "slots": 8, "service": {"namespace": namespace, "selector": LABELS}}
    return {
        "models": [{"name": "m", "role": "base", "engine": "TGI", "pools": [pool]}],
        "metricsSource": {"type": "Pods", "intervalSeconds": 0.1},
        "balancing": balancing,
    }


@pytest.fixture
def slices(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> HandMadeSlices:
    monkeypatch.setenv("KUBECONFIG", str(gateway_kubeconfig(cluster, namespace)))
    return HandMadeSlices(cluster, namespace)


@pytest.fixture
def engines() -> Iterator[list[FakeEngineProcess]]:
    with ExitStack() as running:
        yield [running.enter_context(FakeEngineProcess(host=own_address())) for _ in range(3)]


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


class Load:
    """Calls without a pause, by so many callers, until it is stopped."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Gateway, callers: int = 8) -> None:
        self.statuses: list[int] = []
        self._session, self._gateway = session, gateway
        self._stopped = False
        self._tasks = [asyncio.create_task(self._call(n % 2 == 0)) for n in range(callers)]

    async def stop(self) -> list[int]:
        self._stopped = True
        await asyncio.gather(*self._tasks)
        return self.statuses

    async def _call(self, streamed: bool) -> None:
        while not self._stopped:
            status, text = await ask(self._session, self._gateway, chat(20, stream=streamed))
            whole = "[DONE]" in text if streamed else '"finish_reason"' in text
            self.statuses.append(status if whole else 0)


def known(gateway: Gateway, engine: FakeEngineProcess) -> bool:
    return gateway.metric("pod_slots", pod=engine.url) > 0


async def test_pods_come_and_go_under_load_and_no_call_fails(
    slices: HandMadeSlices, engines: list[FakeEngineProcess], tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    first, second, third = engines
    slices.put(first)
    slices.put(second)
    with serving_gateway(tmp_path, config(slices.namespace)) as gateway:
        await until(lambda: known(gateway, first) and known(gateway, second), "both pods", 30)
        load = Load(session, gateway)
        await until(lambda: len(load.statuses) > 50, "load")

        await asyncio.to_thread(slices.put, third)
        await until(lambda: known(gateway, third), "the third pod is known", KNOWN_WITHIN_SECONDS)
        await until(lambda: third.control()["requests_seen"] > 0, "the third pod is called")

        long_stream = asyncio.create_task(ask(session, gateway, chat(600, stream=True)))
        await asyncio.to_thread(slices.end, first)
        before = await settled(first)
        answered = len(load.statuses)
        await until(lambda: len(load.statuses) > answered + 50, "further calls")
        assert first.control()["requests_seen"] == before, "a terminating pod got a new call"

        status, text = await long_stream
        assert (status, "[DONE]" in text) == (200, True)
        await asyncio.to_thread(slices.delete, first)
        await until(lambda: not known(gateway, first), "the first pod is forgotten", KNOWN_WITHIN_SECONDS)
        first.kill()
        statuses = await load.stop()
        assert set(statuses) == {200}
        await until(gateway.at_rest, "counters at zero")


async def settled(engine: FakeEngineProcess) -> int:
    """Calls that an engine has had, once their number stands still; that takes it less than a second."""
    began, seen, since = time.monotonic(), -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        now = (await asyncio.to_thread(engine.control))["requests_seen"]
        if now != seen:
            seen, since = now, time.monotonic()
        assert since - began < KNOWN_WITHIN_SECONDS, "the pod still gets calls"
        await asyncio.sleep(0.02)
    return seen


async def test_a_pod_that_dies_without_a_word_costs_no_call(
    slices: HandMadeSlices, engines: list[FakeEngineProcess], tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    for engine in engines:
        slices.put(engine)
    with serving_gateway(tmp_path, config(slices.namespace)) as gateway:
        await until(lambda: all(known(gateway, engine) for engine in engines), "all pods", 30)
        load = Load(session, gateway, callers=6)
        await until(lambda: len(load.statuses) > 100, "load")
        engines[0].control(drop=True)
        engines[0].kill()
        await asyncio.to_thread(slices.delete, engines[0])
        answered = len(load.statuses)
        await until(lambda: len(load.statuses) > answered + 50, "further calls")
        statuses = await load.stop()
    # A stream that has begun cannot be given to another pod; whatever had not begun is.
    assert sum(status != 200 for status in statuses) <= 6
    assert set(statuses[-50:]) == {200}


async def test_the_pods_of_a_real_service_are_followed(
    cluster: Cluster, slices: HandMadeSlices, tmp_path: Path
) -> None:
    """The controllers of the cluster make the slices here, with the labels of the Service; kwok makes pods ready."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "pool", "labels": LABELS},
        "spec": {"selector": {"app": "pool"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }
    where = f"--namespace={slices.namespace}"
    cluster.kubectl.apply(service, deployment("pool", replicas=2), namespace=slices.namespace)
    with serving_gateway(tmp_path, config(slices.namespace)) as gateway:

        def follows(count: int) -> bool:
            """The API server's view and the gateway's are the same, and have so many pods."""
            found = cluster.kubectl.json("get", "endpointslices", where)["items"]
            ready = {
                f"http://{endpoint['addresses'][0]}:8080"
                for each in found
                for endpoint in each.get("endpoints") or ()
                if endpoint["conditions"]["ready"]
            }
            return len(ready) == count and all(gateway.metric("pod_slots", pod=url) > 0 for url in ready)

        await until(lambda: follows(2), "two pods", 60)
        (made,) = cluster.kubectl.json("get", "endpointslices", where)["items"]
        assert LABELS.items() <= made["metadata"]["labels"].items()
        cluster.kubectl("scale", "deployment", "pool", "--replicas=5", where)
        await until(lambda: follows(5), "five pods", 60)
        cluster.kubectl("scale", "deployment", "pool", "--replicas=1", where)
        await until(lambda: follows(1), "one pod", 60)


async def test_gateways_share_the_slots_by_their_own_number(
    slices: HandMadeSlices, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    reference = {"namespace": slices.namespace, "selector": GATEWAYS}
    settings = config(slices.namespace, gateways=reference)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        FakeEngineProcess(host=own_address(), slots=8, token_ms=20) as engine,
        serving_gateway(folders[0], settings) as one,
        serving_gateway(folders[1], settings) as two,
    ):
        slices.count_gateways(2)
        slices.put(engine)
        await until(lambda: all(known(each, engine) for each in (one, two)), "the pod", 30)
        callers = 40
        calls = [asyncio.create_task(ask(session, each, chat(200))) for each in (one, two) for _ in range(callers)]

        def shared() -> bool:
            mine, others = one.metric("pod_inflight"), two.metric("pod_inflight")
            return min(mine, others) >= 3 and 8 <= mine + others <= 10

        await until(shared, "each has its part of the slots", 35)
        for call in calls[callers:]:
            call.cancel()
        slices.count_gateways(1)
        await until(lambda: one.metric("pod_inflight") >= 8, "all slots are the only gateway's")
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_an_api_server_that_is_away_costs_no_call(
    own_control_plane: ControlPlane,
    is_soak: bool,
    engines: list[FakeEngineProcess],
    tmp_path: Path,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace = "default"
    monkeypatch.setenv("KUBECONFIG", str(gateway_kubeconfig(own_control_plane, namespace)))
    slices = HandMadeSlices(own_control_plane, namespace)
    first, second, _ = engines
    slices.put(first)
    with serving_gateway(tmp_path, config(namespace)) as gateway:
        await until(lambda: known(gateway, first), "the pod", 30)
        load = Load(session, gateway)
        await until(lambda: len(load.statuses) > 50, "load")
        own_control_plane.apiserver.kill()
        away = 60 if is_soak else 10
        await until(lambda: gateway.metric("discovery_age_seconds") > away, "it is away", away + 70)
        assert known(gateway, first)
        own_control_plane.apiserver.start()
        await asyncio.to_thread(own_control_plane.wait_until_ready)
        await asyncio.to_thread(slices.put, second)
        took = await until(lambda: second.control()["requests_seen"] > 0, "the second pod is called", 30)
        assert took < 10
        assert set(await load.stop()) == {200}
    told = [line["message"] for line in gateway.lines()]
    assert "endpoint slices cannot be watched: the last known pods stay" in told
    assert "the API server is there again" in told
