"""The part of a Kubernetes API server that the gateway uses, with the faults that real ones show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

NAMESPACE = "shop"


class FakeApiServer:
    """EndpointSlices of one namespace. ``requests`` holds what was asked: list or watch, and its query.

    ``oldest``: watches from before that version are gone (410). ``refused``: a status that every request gets.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.token = "first"
        self.version = 100
        self.oldest = 0
        self.refused: int | None = None
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._slices: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, dict[str, Any]]] = []
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Connections break, and none is taken."""
        if self._runner is not None:
            self.cut()
            await self._runner.cleanup()
            self._runner = None

    def put(self, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        self._tell("MODIFIED" if name in self._slices else "ADDED", document)
        self._slices[name] = document

    def delete(self, name: str) -> None:
        self._tell("DELETED", self._slices.pop(name))

    def forget(self) -> None:
        """etcd has been compacted: a watch can only begin from now."""
        self.version += 1
        self.oldest = self.version

    def cut(self) -> None:
        """Every watch breaks off."""
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()

    def bookmark(self) -> None:
        self.version += 1
        self._send({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}})

    def expire_watches(self) -> None:
        """What a watch gets that has lagged behind for too long: an error inside its stream."""
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        self.forget()
        self._send({"type": "ERROR", "object": status})

    def count(self, kind: str) -> int:
        return sum(1 for each, _ in self.requests if each == kind)

    def _tell(self, kind: str, document: dict[str, Any]) -> None:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self._send({"type": kind, "object": json.loads(json.dumps(document))})

    def _send(self, event: dict[str, Any]) -> None:
        self._events.append((self.version, event))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        kind = "watch" if request.query.get("watch") else "list"
        self.requests.append((kind, dict(request.query)))
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        if self.refused is not None:
            return _status(self.refused, "refused by this test")
        if kind == "list":
            items = list(self._slices.values())
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        since = int(request.query["resourceVersion"])
        if since < self.oldest:
            return _status(410, "too old resource version")
        return await self._stream(request, since)

    async def _stream(self, request: web.Request, since: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        sent, cut = 0, self._cut
        while not cut.is_set():
            changed = self._changed
            while sent < len(self._events):
                version, event = self._events[sent]
                sent += 1
                if version > since:
                    await response.write(json.dumps(event).encode() + b"\n")
            waits = [asyncio.create_task(each.wait()) for each in (changed, cut)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if request.transport is not None:
            request.transport.abort()
        return response


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)


def kubeconfig(folder: Path, server: FakeApiServer) -> Path:
    """A kubeconfig whose token lies in a file of its own, as that of a pod does."""
    (folder / "token").write_text(server.token)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "users": [{"name": "gateway", "user": {"tokenFile": str(folder / "token")}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "gateway"}}],
        "current-context": "fake",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path


@asynccontextmanager
async def running_api_server(port: int) -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer(port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
