"""What operators do to a running gateway: new configuration, keys, drain, metrics that are renamed, DNS, Prometheus."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml
from fake_engine.process import FakeEngineProcess, free_port, wait_until_listening
from serving_harness import ask, chat, serving_config, serving_gateway, until


@pytest.fixture
def engine() -> Iterator[FakeEngineProcess]:
    with FakeEngineProcess() as engine:
        yield engine


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
        yield session


async def test_a_new_configuration_applies_without_a_lost_call(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with FakeEngineProcess() as second, serving_gateway(tmp_path, serving_config([engine])) as gateway:
        running = [asyncio.create_task(ask(session, gateway, chat(400))) for _ in range(4)]
        await until(lambda: engine.control()["running"] == 4, "all run on the first pod")
        gateway.write(serving_config([second], admission={"defaultTimeoutSeconds": 5}))
        await until(lambda: gateway.metric("pod_slots", pod=second.url) > 0, "the second pod is known")
        assert (await ask(session, gateway, chat(1)))[0] == 200
        assert second.control()["served"] == 1
        assert [status for status, _ in await asyncio.gather(*running)] == [200] * 4
        await until(gateway.at_rest, "counters at zero")


async def test_a_broken_configuration_is_told_and_not_used(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with serving_gateway(tmp_path, serving_config([engine])) as gateway:
        gateway.write(serving_config([engine], admission={"maxWaiting": -1}))
        await until(lambda: "admission.maxWaiting" in gateway.log.read_text(), "the log names the field")
        assert (await ask(session, gateway, chat(1)))[0] == 200


async def test_keys_are_files_and_change_without_a_restart(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "team-a").write_text("first-key\n")
    with serving_gateway(tmp_path, serving_config([engine], auth={"keysDirectory": str(keys)})) as gateway:

        async def status(key: str | None) -> int:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return (await ask(session, gateway, chat(1), **headers))[0]

        assert [await status(None), await status("wrong"), await status("first-key")] == [401, 401, 200]
        async with session.post(f"{gateway.url}/v1/recommendations", json={}) as response:
            assert response.status == 401
            assert response.content_type == "application/problem+json"
        async with session.get(f"{gateway.url}/readyz") as response:
            assert response.status == 200
        (keys / "team-a").write_text("second-key")

        async def changed() -> None:
            while await status("second-key") != 200:  # noqa: ASYNC110  the file is read again within a second
                await asyncio.sleep(0.05)

        await asyncio.wait_for(changed(), 5)
        assert await status("first-key") == 401
        assert "key" not in [line.get("message") for line in gateway.lines()]
        assert "first-key" not in gateway.log.read_text()


async def test_sigterm_drains(engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession) -> None:
    with serving_gateway(tmp_path, serving_config([engine])) as gateway:
        stream = asyncio.create_task(ask(session, gateway, chat(300, stream=True)))
        await until(lambda: engine.control()["running"] == 1, "the stream runs")
        gateway.process.send_signal(signal.SIGTERM)
        await until(lambda: not gateway.ready()["ready"], "not ready any more")
        status, text = await ask(session, gateway, chat(1))
        assert (status, json.loads(text)["error"]["code"]) == (503, "draining")
        status, text = await stream
        assert (status, text.rstrip().endswith("data: [DONE]")) == (200, True)
        await until(lambda: gateway.process.poll() is not None, "it ends by itself")


async def test_a_drain_is_bounded(engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession) -> None:
    config = serving_config([engine], admission={"drainSeconds": 0.5})
    with serving_gateway(tmp_path, config) as gateway:
        stream = asyncio.create_task(ask(session, gateway, chat(800, stream=True)))
        await until(lambda: engine.control()["running"] == 1, "the stream runs")
        gateway.process.send_signal(signal.SIGTERM)
        await until(lambda: gateway.process.poll() is not None, "it ends", seconds=3.5)
        await asyncio.gather(stream, return_exceptions=True)


async def test_renamed_metrics_are_said_once_and_shown(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with serving_gateway(tmp_path, serving_config([engine])) as gateway:
        assert "metrics" not in gateway.ready()["parts"]["base"]  # nothing is there before the first request: zero
        assert (await ask(session, gateway, chat(1)))[0] == 200
        engine.control(metrics="renamed")
        await until(lambda: "metrics" in gateway.ready()["parts"]["base"], "it is shown")
        shown = gateway.ready()["parts"]["base"]["metrics"][engine.url]
        assert shown == "missing: tgi_queue_size, tgi_batch_current_size"
        assert (await ask(session, gateway, chat(1)))[0] == 200
        said = [line for line in gateway.lines() if line["level"] == "error"]
        assert [line["problem"] for line in said] == [shown]
        engine.control(metrics="ok")
        await until(lambda: "metrics" not in gateway.ready()["parts"]["base"], "and gone again")


async def test_a_dns_name_leads_to_pods(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    pool = {"name": "a", "slots": 8, "dns": f"localhost:{engine.port}"}
    with serving_gateway(tmp_path, serving_config([], model={"pools": [pool]})) as gateway:
        assert (await ask(session, gateway, chat(1)))[0] == 200
        assert engine.control()["served"] == 1


async def test_the_canary_gets_its_share_by_session(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with FakeEngineProcess() as canary:
        pools = [
            {"name": "stable", "endpoints": [{"url": engine.url}]},
            {"name": "new", "track": "canary", "endpoints": [{"url": canary.url}]},
        ]
        config = serving_config([], model={"pools": pools, "canaryTraffic": 30})
        with serving_gateway(tmp_path, config) as gateway:
            for _ in range(2):
                await asyncio.gather(*(ask(session, gateway, chat(1), x_session_id=f"s-{n}") for n in range(100)))
            share = canary.control()["served"] / 200
            assert 0.15 < share < 0.45
            assert canary.control()["served"] % 2 == 0  # each session went to the same track both times
            assert gateway.metric("upstream_requests_total", track="canary") == canary.control()["served"]
            canary.kill()
            answers = await asyncio.gather(*(ask(session, gateway, chat(1), x_session_id=f"s-{n}") for n in range(20)))
            assert {status for status, _ in answers} == {200}


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here (Debian: apt install prometheus)")
async def test_the_load_comes_from_a_prometheus_server(
    engine: FakeEngineProcess, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    with prometheus(tmp_path, engine) as url:
        source = {"type": "Prometheus", "url": url, "intervalSeconds": 0.3}
        with serving_gateway(tmp_path, serving_config([engine], metricsSource=source)) as gateway:
            assert (await ask(session, gateway, chat(1)))[0] == 200
            others = [
                asyncio.create_task(session.post(f"{engine.url}/v1/chat/completions", json=chat(2000)))
                for _ in range(5)
            ]
            await until(lambda: gateway.metric("pod_load") > 3, "calls of others are seen")
            assert gateway.metric("pod_inflight") == 0
            assert 0 <= gateway.metric("pod_scrape_age_seconds") < 5
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)


class prometheus:  # noqa: N801  reads as a function
    """Debian's Prometheus server, scraping one engine five times a second; a context manager that gives its address."""

    def __init__(self, folder: Path, engine: FakeEngineProcess) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._port = port
        jobs = [{"job_name": "engines", "static_configs": [{"targets": [f"127.0.0.1:{engine.port}"]}]}]
        config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._command = [
            str(shutil.which("prometheus")),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_until_listening(self._port, self._process)
        return self._url

    def __exit__(self, *_failure: object) -> None:
        self._process.kill()
        self._process.wait()
