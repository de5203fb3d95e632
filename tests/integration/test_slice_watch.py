"""The watch of EndpointSlices against an API server that forgets, breaks off, refuses and goes away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fake_api_server import NAMESPACE, FakeApiServer, kubeconfig, running_api_server
from recsys_gateway.config import PodService, ServiceReference
from recsys_gateway.serving import slice_watch
from recsys_gateway.serving.endpoint_slices import EndpointSlice, pods_of
from recsys_gateway.serving.slice_watch import Follower, SliceWatches

LABELS = {"recsys.io/system": "shop", "recsys.io/pool": "a"}
SERVICE = PodService(namespace=NAMESPACE, selector=LABELS)


def pods(*addresses: str, name: str = "s1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {**LABELS, **labels}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


class Watched:
    """What a follower of the service knows."""

    def __init__(self, watches: SliceWatches) -> None:
        self.watches = watches
        self.told = 0
        self.hosts: set[str] = set()
        watches.follow(Follower(SERVICE, self._changed))

    def _changed(self, slices: Sequence[EndpointSlice]) -> None:
        self.told += 1
        self.hosts = {pod.url.removeprefix("http://").removesuffix(":80") for pod in pods_of(slices, SERVICE)}

    async def until(self, *hosts: str, seconds: float = 10) -> float:
        return await until(lambda: self.hosts == set(hosts), f"{hosts}", seconds)


async def until(condition: Callable[[], object], what: str, seconds: float = 10) -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture
async def server(
    tmp_path: Path, port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeApiServer]:
    async with running_api_server(port()) as running:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, running)))
        running.put(pods("10.0.0.1"))
        yield running


@pytest.fixture
async def watched(server: FakeApiServer) -> AsyncIterator[Watched]:
    watches = SliceWatches(Random(1))
    known = Watched(watches)
    try:
        await known.until("10.0.0.1", seconds=30)
        yield known
    finally:
        await watches.close()


async def test_changes_are_known_at_once(server: FakeApiServer, watched: Watched) -> None:
    server.put(pods("10.0.0.1", "10.0.0.2"))
    assert await watched.until("10.0.0.1", "10.0.0.2") < 0.5
    server.put(pods("10.0.0.3", name="s2"))
    await watched.until("10.0.0.1", "10.0.0.2", "10.0.0.3")
    server.delete("s1")
    assert await watched.until("10.0.0.3") < 0.5
    assert server.count("list") == 1


async def test_a_watch_that_breaks_off_goes_on_where_it_ended(server: FakeApiServer, watched: Watched) -> None:
    await until(lambda: server.count("watch") == 1 and watched.watches.ages[NAMESPACE] > 0.3, "silence")
    server.bookmark()
    bookmarked = server.version
    await until(lambda: watched.watches.ages[NAMESPACE] < 0.2, "the bookmark")
    server.cut()
    server.put(pods("10.0.0.2"))
    await watched.until("10.0.0.2")
    assert server.count("list") == 1
    assert int(server.requests[-1][1]["resourceVersion"]) >= bookmarked


@pytest.mark.parametrize("how", ["as an answer", "inside the stream"])
async def test_what_is_gone_is_listed_anew(server: FakeApiServer, watched: Watched, how: str) -> None:
    if how == "inside the stream":
        server.expire_watches()
    else:
        server.forget()
        server.cut()
    await until(lambda: server.count("list") == 2, "a second list")
    server.put(pods("10.0.0.2"))
    assert await watched.until("10.0.0.2") < 1


async def test_a_server_that_says_gone_again_and_again_is_not_overrun(server: FakeApiServer, watched: Watched) -> None:
    server.oldest = 10**9
    server.cut()
    await until(lambda: server.count("list") >= 3, "further lists")
    before, began = server.count("list"), time.monotonic()
    await until(lambda: server.count("list") >= before + 2, "two more")
    assert time.monotonic() - began > 0.3
    assert watched.hosts == {"10.0.0.1"}


async def test_the_last_known_pods_stay_while_the_server_is_away(
    server: FakeApiServer, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_watch, "LONGEST_PAUSE_SECONDS", 0.5)
    told = watched.told
    await server.stop()
    await until(lambda: watched.watches.ages[NAMESPACE] > 2, "two seconds without it")
    assert (watched.hosts, watched.told) == ({"10.0.0.1"}, told)
    server.put(pods("10.0.0.2"))
    await server.start()
    assert await watched.until("10.0.0.2") < 2


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_a_refusal_is_waited_out(server: FakeApiServer, watched: Watched, status: int) -> None:
    server.refused = status
    server.cut()
    await until(lambda: server.count("list") >= 2, "a second list")
    assert watched.hosts == {"10.0.0.1"}
    server.refused = None
    server.put(pods("10.0.0.2"))
    await watched.until("10.0.0.2")


async def test_a_token_that_was_replaced_is_taken_up(server: FakeApiServer, watched: Watched, tmp_path: Path) -> None:
    server.token = "second"
    (tmp_path / "token").write_text("second")
    server.cut()
    server.put(pods("10.0.0.2"))
    await watched.until("10.0.0.2")


async def test_one_watch_serves_every_pool_and_is_as_wide_as_they_need(server: FakeApiServer, watched: Watched) -> None:
    found: list[int] = []
    other = ServiceReference(namespace=NAMESPACE, selector={"recsys.io/system": "shop"})
    watched.watches.follow(Follower(other, lambda slices: found.append(len(slices))))
    await until(lambda: server.count("list") == 2, "a wider list")
    assert server.requests[-1][1]["labelSelector"] == "recsys.io/system=shop"
    assert found
    same = PodService(namespace=NAMESPACE, selector=LABELS, port="http")
    watched.watches.follow(Follower(same, lambda slices: None))
    server.put(pods("10.0.0.2"))
    await watched.until("10.0.0.2")
    assert server.count("list") == 2


async def test_without_an_api_server_to_ask_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    watches = SliceWatches(Random(1))
    Watched(watches)
    try:
        await until(lambda: caplog.records, "a line of the log", 30)
    finally:
        await watches.close()
    assert "the service account (is its token mounted?) does not lead to an API server" in caplog.records[0].problem


def test_a_gateway_without_a_cluster_imports_nothing_of_kubernetes() -> None:
    program = "import sys, recsys_gateway.api.app; print({'kubernetes', 'tritonclient'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
