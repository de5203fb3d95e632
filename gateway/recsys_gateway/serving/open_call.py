"""An answer of an engine that has begun, and the place at a pod that it holds until it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType

import aiohttp

from recsys_gateway.serving.balancer import clock
from recsys_gateway.serving.balancing.dispatcher import CallEnd
from recsys_gateway.serving.balancing.pod import PodState
from recsys_gateway.serving.failures import UpstreamTimeout, UpstreamUnavailable

Finish = Callable[[CallEnd, str], None]
"""Gives the place back; told how the call ended, and its label."""


class OpenCall:
    """An answer of status 2xx that has begun: ``first`` is its first piece, ``rest`` gives the others."""

    __slots__ = ("_ended", "_finish", "_idle_seconds", "_pod", "first", "response")

    def __init__(
        self, response: aiohttp.ClientResponse, first: bytes, pod: PodState, idle_seconds: float, finish: Finish
    ) -> None:
        self.response, self.first = response, first
        self._pod, self._idle_seconds, self._finish, self._ended = pod, idle_seconds, finish, False

    async def rest(self) -> AsyncIterator[bytes]:
        """The pieces after the first, as they come.

        Raises:
            UpstreamError: the engine broke off, or was silent for too long. The call has ended then.
        """
        content, pod = self.response.content, self._pod
        try:
            async with _IdleLimit(self._idle_seconds) as idle:
                while chunk := await content.readany():
                    pod.last_sign = idle.touched()
                    yield chunk
        except TimeoutError:
            self.end(CallEnd.TIMEOUT, "timeout")
            raise UpstreamTimeout(f"{pod.spec.pool}: silent for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            self.end(CallEnd.UNREACHABLE, "unavailable")
            raise UpstreamUnavailable(f"{pod.spec.pool}: {type(error).__name__}") from error

    async def whole(self, limit: int) -> bytes:
        """The answer to its end, or its first ``limit`` bytes.

        Raises:
            UpstreamError: as ``rest``.
        """
        if self.response.content.at_eof():
            return self.first
        body = bytearray(self.first)
        async for chunk in self.rest():
            body += chunk
            if len(body) >= limit:
                break
        return bytes(body[:limit])

    def end(self, end: CallEnd = CallEnd.ABANDONED, outcome: str | None = None) -> None:
        """Give the place back; an answer that is not at its end is aborted. Only the first time counts."""
        if self._ended:
            return
        self._ended = True
        drop(self.response)
        self._finish(end, outcome or LABELS[end])


class _IdleLimit:
    """Ends a block by TimeoutError once ``touched`` was not called for ``seconds``. One timer, however many calls."""

    __slots__ = ("_handle", "_last", "_limit", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, clock()
        self._limit = asyncio.timeout(None)

    async def __aenter__(self) -> _IdleLimit:
        await self._limit.__aenter__()
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def touched(self) -> float:
        """Now, which begins the time anew."""
        self._last = clock()
        return self._last

    def _look(self) -> None:
        loop, left = asyncio.get_running_loop(), self._last + self._seconds - clock()
        if left <= 0:
            self._limit.reschedule(loop.time())
        else:
            self._handle = loop.call_later(left, self._look)


LABELS = {
    CallEnd.OK: "ok",
    CallEnd.ABANDONED: "cancelled",
    CallEnd.REFUSED: "refused",
    CallEnd.FAILED: "unavailable",
    CallEnd.OVERLOADED: "overloaded",
    CallEnd.UNREACHABLE: "unavailable",
    CallEnd.TIMEOUT: "timeout",
    CallEnd.BAD_GATEWAY: "unavailable",
}


def drop(response: aiohttp.ClientResponse | None) -> None:
    """Close the connection where more might come over it, else give it back to be used again."""
    if response is not None:
        if not response.content.at_eof():
            response.close()
        response.release()
