"""The few requests that the operator makes, over kubernetes.aio's client: plain data in, plain data out.

Its generated models are left aside: each would be imported, built and taken apart again for what is JSON on both ends.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from recsys_operator.components.labels import MANAGER
from recsys_operator.components.manifest import ApiKind, Manifest
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile.kinds import LEASE, Path, path_of

REQUEST_SECONDS = 30
REQUESTS_AT_ONCE = 24
"""Enough to keep an API server busy, few enough to be no flood. What waits for its turn is not timed."""
CONNECTIONS = 2 * REQUESTS_AT_ONCE
"""More than those: the lease's requests wait for nobody, else a busy operator would lose it."""
SERVICE_ACCOUNT = FilePath("/var/run/secrets/kubernetes.io/serviceaccount")
_OF_NO_OBJECT = "1"
"""A resource version that no object has: etcd's first one, before anything was written."""
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiRefused(Exception):
    """The API server said no to this very request: trying the same again will not help."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class ApiUnavailable(OSError):
    """The API server cannot be reached, is overloaded or in trouble: later it may do the same."""


class ClusterApi:
    """One connection pool. Use as a context manager."""

    def __init__(self, client: ApiClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics
        self._turns = asyncio.Semaphore(REQUESTS_AT_ONCE)
        self.may_write: Callable[[], bool] = lambda: True
        """The fence: asked before every write but the lease's own."""

    async def __aenter__(self) -> ClusterApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]  # kubernetes has no types

    async def get(self, path: Path) -> Manifest | None:
        """None where it is not there."""
        try:
            return await self._request("GET", path.kind, str(path))
        except ApiRefused as refused:
            if refused.status == 404:
                return None
            raise

    async def list_objects(self, path: Path, *, metadata_only: bool = False, **parameters: str) -> Manifest:
        """``parameters``: labelSelector, fieldSelector, limit."""
        accept = _METADATA_LIST if metadata_only else "application/json"
        return await self._request("GET", path.kind, _with(str(path), parameters), accept=accept)

    async def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Server-side apply: we own just what ``manifest`` says."""
        path = path_of(manifest)
        parameters = {"fieldManager": MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        content = "application/apply-patch+yaml"
        return await self._request("PATCH", path.kind, _with(str(path), parameters), manifest, content)

    async def make(self, manifest: Manifest) -> Manifest:
        """Server-side apply of what must not be there yet: refused with 409 where the name is taken.

        Looking and making are one step. A resource version is ignored where there is no object, and has to be the
        object's own where there is one.
        """
        return await self.apply({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _OF_NO_OBJECT}})

    async def delete(self, path: Path, uid: str) -> None:
        """That very object, its own children after it. Gone already is well."""
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            await self._request("DELETE", path.kind, str(path), body)
        except ApiRefused as refused:
            if refused.status not in (404, 409):
                raise

    async def create(self, path: Path, body: Manifest) -> Manifest:
        return await self._request("POST", path.kind, _with(str(path), {"fieldManager": MANAGER}), body)

    async def replace(self, path: Path, body: Manifest) -> Manifest:
        """Refused with 409 where ``body`` is not of the newest version."""
        return await self._request("PUT", path.kind, _with(str(path), {"fieldManager": MANAGER}), body)

    async def replace_status(self, path: Path, body: Manifest) -> Manifest:
        """Writes ``status`` of ``body`` alone; refused with 409 where ``body`` is not of the newest version."""
        return await self._request("PUT", path.kind, _with(f"{path}/status", {"fieldManager": MANAGER}), body)

    async def served_groups(self) -> frozenset[tuple[str, str]]:
        """Groups of the API with their versions."""
        found = await self._request("GET", ApiKind("", "", "APIGroupList"), "/apis")
        versions = ((group["name"], one["version"]) for group in found["groups"] for one in group["versions"])
        return frozenset(versions)

    async def served_plurals(self, group: str, version: str) -> frozenset[str]:
        """Plurals that the API server serves under ``group``/``version``; none where it does not know it."""
        kind = ApiKind(group, version, "APIResourceList")
        try:
            found = await self._request("GET", kind, f"/apis/{group}/{version}")
        except ApiRefused as refused:
            if refused.status == 404:
                return frozenset()
            raise
        return frozenset(resource["name"] for resource in found.get("resources", ()))

    async def _request(
        self,
        verb: str,
        kind: ApiKind,
        url: str,
        body: Any = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Manifest:
        async with nullcontext() if kind == LEASE else self._turns:
            status, text = await self._counted(verb, kind, url, body, content, accept)
        answer = _json(text)
        if status < 400:
            return answer
        message = str(answer.get("message") or text[:300] or status)
        if status == 429 or status >= 500 or status == 401:
            raise ApiUnavailable(f"{verb} {url}: {status} {message}")
        raise ApiRefused(status, str(answer.get("reason") or ""), message)

    async def _counted(
        self, verb: str, kind: ApiKind, url: str, body: Any, content: str, accept: str
    ) -> tuple[int, str]:
        """Status and text of the answer, if there is one."""
        if verb != "GET" and kind != LEASE and not self.may_write():
            raise ApiUnavailable(f"{verb} {url}: not sent, since another replica may be at work")
        code = "unreachable"
        try:
            status, text = await self._send(verb, url, body, content, accept)
            code = str(status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiUnavailable(f"{verb} {url}: {str(error) or type(error).__name__}") from error
        finally:
            self._metrics.api_requests.labels(verb, kind.kind, code).inc()
        return status, text

    async def _send(self, verb: str, url: str, body: Any, content: str, accept: str) -> tuple[int, str]:
        headers = {"Accept": accept, "Content-Type": content}
        for setting in (await self._client.configuration.auth_settings()).values():
            headers[setting["key"]] = setting["value"]
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        response = await self._client.call_api(
            verb, self._client.configuration.host + url, headers, body, _request_timeout=timeout
        )
        content_read: bytes = await response.read()  # type: ignore[no-untyped-call]  # kubernetes has no types
        return response.status, content_read.decode()


async def connect(metrics: Metrics) -> ClusterApi:
    """As the pod's service account, or by the kubeconfig where this is no pod."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    # Else every request reads ~/.netrc and the proxies of the environment, in a thread: a quarter of our CPU.
    configuration.client_session_kwargs = {"trust_env": False}
    if (SERVICE_ACCOUNT / "token").exists():
        kubernetes_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # kubernetes has no types
    else:
        await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]  # kubernetes has no types
            client_configuration=configuration
        )
    configuration.proxy = configuration.proxy or _proxy_of_the_environment(configuration.host)
    return ClusterApi(ApiClient(configuration), metrics)


def _proxy_of_the_environment(url: str) -> str | None:
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _with(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}?{urlencode(parameters)}" if parameters else url


def _json(text: str) -> Manifest:
    try:
        found = json.loads(text)
    except ValueError:
        return {}  # a proxy's page: the status says enough
    return found if isinstance(found, dict) else {}
