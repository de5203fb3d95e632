"""The Kubernetes API, as far as the gateway uses it: EndpointSlices are listed and watched.

Who asks and where is told by ``KUBECONFIG``, or by the pod's own service account. Both are read again after every
failure, so that a token or an authority that was replaced is taken up.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

PATH = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
CONNECT_SECONDS = 5.0
LIST_SECONDS = 30.0
GRACE_SECONDS = 10.0
"""A watch that is silent for so long after its end should have come has lost its connection."""
ERROR_BODY_BYTES = 64 << 10


class ApiAway(Exception):
    """The API server cannot be reached, or the connection to it was lost."""


class ApiRefused(Exception):
    """The API server is there and says no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the API server refused to give endpointslices: {status} {message}")
        self.status = status

    @property
    def gone(self) -> bool:
        """The place in time that was asked for is past: list anew."""
        return self.status == HTTPStatus.GONE


class SliceEvent(NamedTuple):
    """``kind`` as the API says: ADDED, MODIFIED, DELETED or BOOKMARK. ``version``: how far the watch has come."""

    kind: str
    document: Mapping[str, Any]
    version: str


class KubernetesApi:
    """One connection, made when it is first needed."""

    def __init__(self) -> None:
        self._client: ApiClient | None = None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]  # the library has it so

    async def list_slices(self, namespace: str, labels: Mapping[str, str]) -> tuple[Sequence[Mapping[str, Any]], str]:
        """All slices with ``labels``, and the version to watch from.

        Raises:
            ApiAway, ApiRefused: there is no answer, or none that can be used.
        """
        limits = aiohttp.ClientTimeout(total=LIST_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._asked(namespace, _query(labels), limits) as response:
            document = json.loads(await response.read())
        match document:
            case {"metadata": {"resourceVersion": str(version)}}:
                return document.get("items") or [], version
            case _:
                raise ApiRefused(response.status, "its answer is no list")

    async def watch_slices(
        self, namespace: str, labels: Mapping[str, str], version: str, seconds: int
    ) -> AsyncGenerator[SliceEvent, None]:
        """What changes after ``version``, for ``seconds``.

        Raises:
            ApiAway, ApiRefused: it broke off.
        """
        bounds = {"resourceVersion": version, "timeoutSeconds": seconds}
        query = _query(labels, watch="true", allowWatchBookmarks="true", **bounds)
        limits = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=seconds + GRACE_SECONDS)
        async with self._asked(namespace, query, limits) as response:
            async for line in response.content:
                yield _event(json.loads(line))

    @asynccontextmanager
    async def _asked(
        self, namespace: str, query: Sequence[tuple[str, str]], limits: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        response: aiohttp.ClientResponse | None = None
        try:
            client = await self._connected()
            request = await client.param_serialize(
                "GET", PATH, {"namespace": namespace}, list(query), {"Accept": "application/json"},
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = (await client.call_api(*request, _request_timeout=limits)).response
            await _check(response)
            yield response
        except ApiRefused:
            await self.close()
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            await self.close()
            raise ApiAway(f"the API server cannot be reached: {_reason(error)}") from error
        finally:
            if response is not None:
                response.close()

    async def _connected(self) -> ApiClient:
        if self._client is None:
            # Its import takes two seconds: calls go on meanwhile.
            self._client = await _connect(await asyncio.to_thread(_kubernetes))
        return self._client


def _kubernetes() -> Any:
    import kubernetes.aio.client
    import kubernetes.aio.config

    return kubernetes.aio


async def _connect(aio: Any) -> ApiClient:
    """
    Raises:
        ApiAway: nothing says where the API server is.
    """
    configuration = aio.client.Configuration()
    try:
        if file := os.environ.get("KUBECONFIG"):
            await aio.config.load_kube_config(
                config_file=file, client_configuration=configuration, persist_config=False
            )
        else:
            aio.config.load_incluster_config(client_configuration=configuration)
            # A proxy is for what lies outside of the cluster.
            configuration.client_session_kwargs = {"trust_env": False}
        client: ApiClient = aio.client.ApiClient(configuration)
    except (aio.config.ConfigException, OSError, ValueError) as error:
        where = "KUBECONFIG" if os.environ.get("KUBECONFIG") else "the service account (is its token mounted?)"
        raise ApiAway(f"{where} does not lead to an API server: {_reason(error)}") from error
    return client


def _query(labels: Mapping[str, str], **more: object) -> list[tuple[str, str]]:
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    return [*([("labelSelector", selector)] if selector else []), *((name, str(value)) for name, value in more.items())]


def _event(document: Any) -> SliceEvent:
    match document:
        case {"type": "ERROR", "object": {"code": int(code), **status}}:
            raise ApiRefused(code, str(status.get("message", "")))
        case {"type": str(kind), "object": {"metadata": {"resourceVersion": str(version)}} as slice_}:
            return SliceEvent(kind, slice_, version)
        case _:
            raise ApiRefused(HTTPStatus.OK, "its answer is no event of a watch")


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status != HTTPStatus.OK:
        raise ApiRefused(response.status, _message(await response.content.read(ERROR_BODY_BYTES)))


def _message(body: bytes) -> str:
    """What a Status of the API says, on one line."""
    try:
        text = json.loads(body)["message"]
    except (ValueError, LookupError, TypeError):
        text = body.decode(errors="replace")
    return " ".join(str(text).split())[:300]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
