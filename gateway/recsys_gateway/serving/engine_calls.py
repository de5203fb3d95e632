"""Calls to the pods of one model: a place, the request, the first byte, and what follows for the pod. Sends again only
what has not begun to be answered.

Bounds: connecting, the first byte (or the caller's deadline, where an answer comes whole), silence inside a stream.
Whoever has an ``OpenCall`` ends it; its place at the pod is given back then, and only then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import aiohttp
from yarl import URL

from recsys_gateway.config import CallTimeouts, Role, ServedModel, Track
from recsys_gateway.credentials import secret
from recsys_gateway.engines.dialect import Dialect
from recsys_gateway.engines.registry import dialect_of
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.admission.retry_budget import RetryBudget
from recsys_gateway.serving.admission.waiting_queue import Priority
from recsys_gateway.serving.balancer import Balancer, Refused, clock
from recsys_gateway.serving.balancing.dispatcher import Call, CallEnd, Lease
from recsys_gateway.serving.failures import (
    EngineError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    not_admitted,
    outcome_of,
)
from recsys_gateway.serving.open_call import OpenCall, drop
from recsys_gateway.serving.time_limits import TimeLimit

ERROR_BODY_BYTES = 64 << 10
KEEP_ALIVE_SECONDS = 3.0
"""Less than the 5 s after which llama.cpp and uvicorn close an idle connection: a call sent on one that is just being
closed fails, and a POST is not sent twice."""
MAX_TRIES = 4

_ERROR_EVENT = re.compile(rb'\s*(data|error):\s*\{\s*"error"|error:')
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_NO_ENCODING = ("Accept-Encoding", "User-Agent", "Accept")


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


@dataclass(frozen=True, slots=True)
class CallObserver:
    """Told of each try (role, pool, track, outcome), of each retry, of each wait for a place, in seconds, and of how
    long each place was held (role, pool, track, seconds)."""

    called: Callable[[Role, str, Track, str], None] = lambda _role, _pool, _track, _outcome: None
    retried: Callable[[Role], None] = lambda _role: None
    waited: Callable[[Role, float], None] = lambda _role, _seconds: None
    held: Callable[[Role, str, Track, float], None] = lambda _role, _pool, _track, _seconds: None


class Terms(NamedTuple):
    """What a call may take and whose it is. ``deadline`` is a reading of the balancer's clock.

    ``streamed``: the answer comes in pieces, the first of them soon; else it comes whole, and may take all the time.
    ``patient``: wait for a pod to come where there is none.
    """

    deadline: float
    streamed: bool
    tenant: str = ""
    priority: Priority = Priority.NORMAL
    affinity: str = ""
    sticky: str = ""
    patient: bool = True
    headers: Mapping[str, str] = _NO_HEADERS


def new_session() -> aiohttp.ClientSession:
    """A session without a limit of connections: how many calls run is decided before they get here."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),  # what an engine sets for one client is nothing for the next
        trust_env=False,
        auto_decompress=False,
        skip_auto_headers=_NO_ENCODING,
    )


class _Failed(Exception):
    """One try has failed: what it says of the pod, and what the caller is told if it was the last one."""

    def __init__(self, end: CallEnd, error: UpstreamError, *, retryable: bool) -> None:
        super().__init__(str(error))
        self.end, self.error, self.retryable = end, error, retryable


class EngineCalls:
    """One model behind its balancer. ``apply`` takes new settings while calls run."""

    def __init__(
        self,
        balancer: Balancer,
        session: aiohttp.ClientSession,
        retry_share: float,
        timeouts: Timeouts | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        """``timeouts`` stand in for the model's own."""
        self.balancer = balancer
        self.observer = observer or CallObserver()
        self._session = session
        self._own_timeouts = timeouts
        self.apply(balancer.model, retry_share)

    def apply(self, model: ServedModel, retry_share: float) -> None:
        self.model = model
        self.dialect: Dialect = dialect_of(model.engine)
        self.timeouts = self._own_timeouts or Timeouts.of(model.timeouts)
        self._limits = aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect, sock_read=None)
        self._budget = RetryBudget(retry_share)
        self._headers = {"content-type": "application/json"}
        self._urls: dict[tuple[str, str], URL] = {}
        if key := secret(model.api_key_env, model.api_key_file):
            self.use_key(key)

    def use_key(self, key: str) -> None:
        """The engine's own API key, from the next call on."""
        self._headers = {**self._headers, "authorization": f"Bearer {key}"}

    async def open(self, path: str, body: bytes, terms: Terms) -> OpenCall:
        """An answer that has begun.

        Raises:
            UpstreamError: there is none; the last try's failure.
        """
        self._budget.earn()
        tried: frozenset[str] = frozenset()
        for attempt in range(MAX_TRIES):
            lease = await self._acquire(terms, tried)
            try:
                return await self._send(lease, path, body, terms)
            except _Failed as failed:
                self._release(lease, failed.end, outcome_of(failed.error))
                tried |= {lease.pod.spec.url}
                last = attempt == MAX_TRIES - 1 or clock() >= terms.deadline
                if last or not self._worth_another_try(failed, tried, terms) or not self._budget.spend():
                    raise failed.error from failed
                self.observer.retried(self.model.role)
            except BaseException:
                self._release(lease, CallEnd.ABANDONED, "cancelled")
                raise
        raise AssertionError("the last try either answers or raises")

    def _worth_another_try(self, failed: _Failed, tried: frozenset[str], terms: Terms) -> bool:
        """Elsewhere, or where nobody was there to hear the call and it may wait until somebody is."""
        if not failed.retryable:
            return False
        now = clock()
        elsewhere = any(pod.spec.url not in tried and pod.up(now) for pod in self.balancer.pods)
        return elsewhere or (terms.patient and failed.end is CallEnd.UNREACHABLE)

    async def _acquire(self, terms: Terms, tried: frozenset[str]) -> Lease:
        call = Call(terms.deadline, terms.tenant, terms.priority, terms.affinity, tried, terms.patient)
        began = clock()
        try:
            return await self.balancer.acquire(call, terms.sticky, again=bool(tried))
        except Refused as refused:
            raise not_admitted(refused.outcome, refused.retry_after) from None
        finally:
            self.observer.waited(self.model.role, clock() - began)

    async def _send(self, lease: Lease, path: str, body: bytes, terms: Terms) -> OpenCall:
        """One try at one pod.

        Raises:
            _Failed: with all that is to be known of it.
        """
        first_byte = clock() + self.timeouts.first_byte
        limit = TimeLimit(min(terms.deadline, first_byte) if terms.streamed else terms.deadline)
        lost = False

        def lose() -> None:
            nonlocal lost
            lost = True
            limit.fire()

        response = None
        try:
            with limit:
                lease.on_lost = lose
                response = await self._post(lease.pod.spec.url, path, body, terms.headers)
                first = await response.content.readany()
                if response.status >= 400:
                    first = await _whole_error(response, first)
        except TimeoutError:
            drop(response)
            if lost:
                raise _Failed(CallEnd.ABANDONED, self._unavailable("the pod fell silent"), retryable=True) from None
            end = CallEnd.TIMEOUT if terms.streamed else CallEnd.ABANDONED  # a whole answer may just be a long one
            error = UpstreamTimeout(f"{self.model.name}: no answer in time")
            raise _Failed(end, error, retryable=terms.streamed) from None
        except (aiohttp.ClientError, OSError) as error:
            drop(response)
            end = CallEnd.UNREACHABLE if isinstance(error, aiohttp.ClientConnectorError) else CallEnd.BROKEN
            raise _Failed(end, self._unavailable(type(error).__name__), retryable=True) from error
        except BaseException:
            drop(response)
            raise
        finally:
            lease.on_lost = None
        lease.pod.last_sign = clock()
        if response.status >= 400 or (terms.streamed and _ERROR_EVENT.match(first)):
            drop(response)
            raise self._said_no(response.status, first)
        return OpenCall(response, first, lease.pod, self.timeouts.idle, partial(self._release, lease))

    async def _post(self, pod: str, path: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        url = self._urls.get((pod, path))
        if url is None:
            url = self._urls[pod, path] = URL(pod + path)
        merged = {**self._headers, **headers}
        try:
            return await self._session.post(url, data=body, headers=merged, timeout=self._limits, allow_redirects=False)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The engine had closed a connection that was kept: llama.cpp does so after a stream. Nothing was
            # answered, and asking a model twice does no harm; a fresh connection tells whether it is there.
            return await self._session.post(url, data=body, headers=merged, timeout=self._limits, allow_redirects=False)

    def _said_no(self, status: int, body: bytes) -> _Failed:
        """The failure that an error of the engine means. The text is kept for the client, and never logged."""
        name, text, said = self.model.name, body.decode(errors="replace"), EngineError(status, body)
        if self.dialect.overloaded(status, text):
            error: UpstreamError = UpstreamOverloaded(f"{name}: overloaded (status {status})", said)
            return _Failed(CallEnd.OVERLOADED, error, retryable=True)
        if status == 200 or status >= 500 or status == 424:
            error = UpstreamUnavailable(f"{name}: failed (status {status})", said)
            # 424: the batch that this call was in has failed, by another's fault perhaps. 500: by its own, perhaps.
            gateway = status in {502, 503, 504}
            return _Failed(
                CallEnd.BAD_GATEWAY if gateway else CallEnd.FAILED, error, retryable=gateway or status == 424
            )
        error = UpstreamRefused(f"{name}: refused the request (status {status})", said)
        return _Failed(CallEnd.REFUSED, error, retryable=False)

    def _unavailable(self, why: str) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{self.model.name}: {why}")

    def _release(self, lease: Lease, end: CallEnd, outcome: str) -> None:
        self.balancer.release(lease, end)
        spec = lease.pod.spec
        self.observer.called(self.model.role, spec.pool, spec.track, outcome)
        self.observer.held(self.model.role, spec.pool, spec.track, clock() - lease.taken_at)

    async def ask(self, path: str, body: object, seconds: float, limit: int) -> bytes:
        """The whole answer of a route that costs the engine next to nothing: it takes no place at a pod.

        Raises:
            UpstreamError: there is none.
        """
        pods = [pod for pod in self.balancer.pods if pod.up(clock())] or self.balancer.pods
        if not pods:
            raise not_admitted(Outcome.NO_PODS, 1)
        spec, outcome = min(pods, key=lambda pod: pod.in_flight / pod.spec.weight).spec, "cancelled"
        try:
            async with asyncio.timeout(seconds):
                url = URL(spec.url + path)
                async with self._session.post(url, json=body, timeout=self._limits) as response:
                    answer = await response.content.read(limit)
                    if response.status >= 400:
                        raise self._said_no(response.status, answer).error
            outcome = "ok"
        except UpstreamError as error:
            outcome = outcome_of(error)
            raise
        except TimeoutError:
            outcome = "timeout"
            raise UpstreamTimeout(f"{self.model.name}: no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            outcome = "unavailable"
            raise self._unavailable(type(error).__name__) from error
        else:
            return answer
        finally:
            self.observer.called(self.model.role, spec.pool, spec.track, outcome)

    async def healthy(self) -> bool:
        """Whether some pod answers its health route with success."""
        return any(await asyncio.gather(*(self._pod_healthy(pod.spec.url) for pod in self.balancer.pods)))

    async def _pod_healthy(self, url: str) -> bool:
        try:
            async with (
                asyncio.timeout(self.timeouts.health),
                self._session.get(url + self.dialect.health_path, headers=self._headers) as response,
            ):
                return response.status < 400
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


async def _whole_error(response: aiohttp.ClientResponse, first: bytes) -> bytes:
    """The text of an error, bounded."""
    body = bytearray(first)
    while len(body) < ERROR_BODY_BYTES and (chunk := await response.content.readany()):
        body += chunk
    return bytes(body[:ERROR_BODY_BYTES])
