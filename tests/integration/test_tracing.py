"""A whole answer as one trace, at a collector that speaks OTLP over HTTP; and nothing in it that a person has said."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from running_gateway import configuration, load_small_shop, running_gateway, wait_for_status
from scripted_engine import ScriptedEngine
from serving_harness import until

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = {"keywords", "retrieve", "prompt", "rank", "verify", "diversify", "narrate"}


class Collector:
    """What an OpenTelemetry collector is to the gateway; ``spans`` is what it was sent, ``raw`` the bytes of it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.raw = b""

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/traces", self._export)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/traces"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _export(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    yield collector, await collector.start()
    await collector.stop()


async def test_an_answer_is_one_trace_from_the_caller_to_the_engines(
    shared_milvus: Any, tmp_path: Path, port: Callable[[], int], collector: tuple[Collector, str]
) -> None:
    received, endpoint = collector
    await asyncio.to_thread(load_small_shop, shared_milvus.config, tmp_path)
    tuned, base = ScriptedEngine(), ScriptedEngine()
    await tuned.start()
    await base.start()
    config = configuration(str(shared_milvus.config.uri), tuned.url, base.url) | {"tracing": {"endpoint": endpoint}}
    body = {"query": "a violet umbrella for rainy hikes", "user_id": "17", "seed": 1}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "trace-me"}
    with running_gateway(config, port(), tmp_path) as (url, _):
        await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/v1/recommendations", json=body, headers=headers) as response,
        ):
            assert response.status == 200
        await until(lambda: "POST /v1/recommendations" in names(received), "the trace comes")
    mine = [span for span in received.spans if span.trace_id.hex() == TRACE]
    whole = next(span for span in mine if span.name == "POST /v1/recommendations")
    assert whole.parent_span_id.hex() == CALLER
    parents = {span.name: span.parent_span_id for span in mine if span.name in STAGES}
    assert set(parents) == STAGES
    assert set(parents.values()) == {whole.span_id}
    by_name = {span.name: span.span_id.hex() for span in mine}
    assert tuned.headers[0]["traceparent"].split("-")[1:3] == [TRACE, by_name["rank"]]
    assert base.headers[0]["traceparent"].split("-")[1:3] == [TRACE, by_name["narrate"]]
    assert (tuned.headers[0]["x-request-id"], base.headers[0]["x-request-id"]) == ("trace-me", "trace-me")
    assert b"violet umbrella" not in received.raw
    await tuned.stop()
    await base.stop()


async def test_nothing_that_a_person_said_or_is_leaves_by_log_metrics_or_traces(
    shared_milvus: Any, tmp_path: Path, port: Callable[[], int], collector: tuple[Collector, str]
) -> None:
    """One trait may enter a prompt (``promptTraits``), the others may not; and none goes anywhere else."""
    received, endpoint = collector
    await asyncio.to_thread(load_small_shop, shared_milvus.config, tmp_path)
    tuned, base = ScriptedEngine(), ScriptedEngine()
    await tuned.start()
    await base.start()
    config = configuration(str(shared_milvus.config.uri), tuned.url, base.url, promptTraits=["diet"])
    config["tracing"] = {"endpoint": endpoint}
    planted, shown = "plantedsecret7431", "plantedvegan7431"
    person, asked = f"/v1/users/id-{planted}", {"query": f"{planted} jacket", "user_id": f"id-{planted}", "seed": 1}
    calls: list[tuple[str, str, object]] = [
        ("PUT", person, {"traits": {"diet": shown, "note": planted, planted: 1}}),
        ("GET", person, None),
        ("POST", "/v1/events", {"id": planted, "user_id": f"id-{planted}", "item_id": "JKT-001", "type": "view"}),
        ("POST", "/v1/recommendations", asked),
        ("POST", "/v1/recommendations", {**asked, "stream": True, "explain": True}),
        ("POST", "/v1/recommendations", {**asked, "filters": {planted: 1}}),
        ("POST", "/v1/events", {"id": planted, "user_id": planted, "item_id": planted, "type": planted}),
        ("POST", "/v1/chat/completions", {"model": "recommender", "messages": [{"role": "user", "content": planted}]}),
        ("GET", f"/v1/nothing/{planted}?q={planted}", None),
        ("DELETE", person, None),
    ]
    with running_gateway(config, port(), tmp_path) as (url, log):
        await asyncio.to_thread(wait_for_status, url + "/readyz", 200)
        async with aiohttp.ClientSession() as http:
            for method, path, body in calls:
                async with http.request(method, url + path, json=body) as response:
                    await response.read()
                    assert response.status < 500, (method, path, await response.text())
            async with http.get(url + "/metrics") as response:
                metrics = await response.text()
        await until(lambda: "DELETE /v1/users/{id:path}" in names(received), "the last trace comes")
    assert {"unmatched", "PUT /v1/users/{id:path}", "POST /v1/events"} <= names(received)
    for secret in (planted, shown):
        assert secret not in log.read_text()
        assert secret not in metrics
        assert secret.encode() not in received.raw
    prompts = json.dumps([engine.bodies for engine in (tuned, base)])
    assert shown in json.dumps(tuned.bodies)
    assert planted in prompts, "the query is what the models are asked"
    assert f"note {planted}" not in prompts
    assert f"{planted} 1" not in prompts
    await tuned.stop()
    await base.stop()


def names(collector: Collector) -> set[str]:
    return {span.name for span in collector.spans}
