"""One model behind its endpoints: chat, whole or streamed, and counting of tokens. Only here are engines called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from recsys_gateway.config import CallTimeouts, Role, ServedModel
from recsys_gateway.engines.dialect import ChatCall
from recsys_gateway.engines.registry import dialect_of
from recsys_gateway.serving.completions import (
    Completion,
    Part,
    StreamFailed,
    parse_completion,
    parse_json,
    read_parts,
)
from recsys_gateway.serving.endpoints import Endpoints, EndpointState
from recsys_gateway.serving.failures import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)

ERROR_BODY_BYTES = 4096
JSON_BODY_BYTES = 8 << 20
KEEP_ALIVE_SECONDS = 3.0
"""Less than the 5 s after which llama.cpp and uvicorn close an idle connection: a call sent on one that is just being
closed fails, and a POST is not sent twice."""

Observer = Callable[[Role, str, str], None]
"""Told of each call: role, pool, outcome (``ok`` or the failure's class, a closed set)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``first_byte`` bounds the wait for the answer's head, ``idle`` the silence inside a stream."""

    connect: float = 2.0
    first_byte: float = 30.0
    idle: float = 15.0
    tokenize: float = 5.0
    health: float = 1.0

    @classmethod
    def of(cls, configured: CallTimeouts) -> Timeouts:
        return cls(configured.connect_seconds, configured.first_byte_seconds, configured.idle_seconds)


def new_session() -> aiohttp.ClientSession:
    """A session without a limit of connections: how many calls run is decided before they get here."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(connector=connector, trust_env=False)


class Upstream:
    """Calls to one model. A call that is cancelled aborts the engine's work: its connection is closed."""

    def __init__(
        self,
        model: ServedModel,
        session: aiohttp.ClientSession,
        timeouts: Timeouts | None = None,
        observe: Observer = lambda _role, _pool, _outcome: None,
    ) -> None:
        """``timeouts`` stand in for the model's own. Raises ConfigurationError: its engine has no dialect here."""
        self.model = model
        self.dialect = dialect_of(model.engine)
        self.endpoints = Endpoints(model)
        self._session = session
        self._timeouts = timeouts or Timeouts.of(model.timeouts)
        self._observe = observe

    async def chat(self, call: ChatCall) -> Completion:
        """The whole answer.

        Raises:
            UpstreamError: one of its classes, see ``failures``.
        """
        body = self.dialect.chat_body(self.model.name, call, stream=False)
        async with self._post("/v1/chat/completions", body, self._timeouts.first_byte) as response:
            return parse_completion(parse_json(await self._read(response, JSON_BODY_BYTES)))

    async def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]:
        """The answer in parts, as the engine says them. Close the iterator to abort the engine's work.

        Raises:
            UpstreamError: one of its classes; also after the first parts.
        """
        body = self.dialect.chat_body(self.model.name, call, stream=True)
        async with self._post("/v1/chat/completions", body, self._timeouts.first_byte) as response:
            try:
                async with aclosing(read_parts(self._chunks(response))) as parts:
                    async for part in parts:
                        yield part
            except StreamFailed as error:
                raise self._refusal(response.status, error.body) from None

    @property
    def texts_per_count(self) -> int:
        """How many texts one ``count`` may hold; 0 where the engine has no tokenizer to ask."""
        return self.dialect.tokenize.texts_per_call if self.dialect.tokenize else 0

    async def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each of ``texts`` (1 to ``texts_per_count``), by the engine's own tokenizer.

        Raises:
            UpstreamError: one of its classes.
            LookupError: this engine has no tokenizer to ask.
        """
        route = self.dialect.tokenize
        if route is None:
            raise LookupError(f"{self.model.engine} has no tokenizer to ask")
        body = self.dialect.tokenize_body(texts)
        async with self._post(route.path, body, self._timeouts.tokenize) as response:
            try:
                return self.dialect.token_counts(parse_json(await self._read(response, JSON_BODY_BYTES)), len(texts))
            except ValueError as error:
                raise UpstreamInvalid(str(error)) from None

    async def healthy(self) -> bool:
        """Whether some endpoint answers its health route with success."""
        return any(await asyncio.gather(*(self._endpoint_healthy(endpoint) for endpoint in self.endpoints)))

    async def _endpoint_healthy(self, endpoint: EndpointState) -> bool:
        try:
            async with (
                asyncio.timeout(self._timeouts.health),
                self._session.get(endpoint.url + self.dialect.health_path) as response,
            ):
                return response.status < 400
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    @asynccontextmanager
    async def _post(self, path: str, body: object, first_byte: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response; a failure of any kind becomes one of ``failures`` and is told to the observer."""
        with self.endpoints.lease() as endpoint:
            outcome = "cancelled"
            try:
                async with self._open(endpoint.url + path, body, first_byte) as response:
                    yield response
                outcome = "ok"
            except UpstreamError as error:
                outcome = outcome_of(error)
                raise
            except TimeoutError:
                outcome = "timeout"
                raise UpstreamTimeout(f"{self.model.name}: no answer in time") from None
            except (aiohttp.ClientError, OSError) as error:
                outcome = "unavailable"
                raise UpstreamUnavailable(f"{self.model.name}: {type(error).__name__}") from error
            finally:
                self._observe(self.model.role, endpoint.pool, outcome)

    @asynccontextmanager
    async def _open(self, url: str, body: object, first_byte: float) -> AsyncIterator[aiohttp.ClientResponse]:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect, sock_read=None)
        async with asyncio.timeout(first_byte):
            try:
                response = await self._session.post(url, json=body, timeout=limits)
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # The engine had closed a connection that was kept: llama.cpp does so after a stream. Nothing was
                # answered, and asking a model twice does no harm; a fresh connection tells whether it is there.
                response = await self._session.post(url, json=body, timeout=limits)
        try:
            if response.status >= 400:
                text = (await self._read(response, ERROR_BODY_BYTES)).decode(errors="replace")
                raise self._refusal(response.status, text)
            yield response
        finally:
            if not response.content.at_eof():
                response.close()
            response.release()

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The body as it comes; a silence longer than ``idle`` is a TimeoutError."""
        while True:
            async with asyncio.timeout(self._timeouts.idle):
                chunk = await response.content.readany()
            if not chunk:
                return
            yield chunk

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """The whole body; the rest of one that is longer than ``limit`` bytes is left unread."""
        body = bytearray()
        async with aclosing(self._chunks(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= limit:
                    break
        return bytes(body[:limit])

    def _refusal(self, status: int, body: str) -> UpstreamError:
        """The failure that an error of the engine means; ``body`` is looked at, and never passed on."""
        name = self.model.name
        if self.dialect.overloaded(status, body):
            return UpstreamOverloaded(f"{name}: overloaded (status {status})")
        if status == 200 or status >= 500:
            return UpstreamUnavailable(f"{name}: failed (status {status})")
        return UpstreamRefused(f"{name}: refused the request (status {status})")


OUTCOMES: dict[type[UpstreamError], str] = {
    UpstreamUnavailable: "unavailable",
    UpstreamOverloaded: "overloaded",
    UpstreamTimeout: "timeout",
    UpstreamRefused: "refused",
    UpstreamInvalid: "invalid",
}


def outcome_of(error: UpstreamError) -> str:
    """The label of ``error``: one of a closed set."""
    return OUTCOMES.get(type(error), "unavailable")
