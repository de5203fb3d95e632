"""An answer of an engine that has begun, and the place at a pod that it holds until it is ended."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable

import aiohttp

from recsys_gateway.serving.balancer import clock
from recsys_gateway.serving.balancing.dispatcher import CallEnd
from recsys_gateway.serving.balancing.pod import PodState
from recsys_gateway.serving.failures import UpstreamTimeout, UpstreamUnavailable
from recsys_gateway.serving.time_limits import TimeLimit

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
            with TimeLimit(clock() + self._idle_seconds) as idle:
                while chunk := await content.readany():
                    pod.last_sign = clock()
                    idle.due = math.inf  # the client may take its time
                    yield chunk
                    idle.due = clock() + self._idle_seconds
        except TimeoutError:
            self.end(CallEnd.TIMEOUT, "timeout")
            raise UpstreamTimeout(f"{pod.spec.pool}: silent for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            self.end(CallEnd.BROKEN, "unavailable")
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


LABELS = {
    CallEnd.OK: "ok",
    CallEnd.ABANDONED: "cancelled",
    CallEnd.REFUSED: "refused",
    CallEnd.FAILED: "unavailable",
    CallEnd.OVERLOADED: "overloaded",
    CallEnd.UNREACHABLE: "unavailable",
    CallEnd.BROKEN: "unavailable",
    CallEnd.TIMEOUT: "timeout",
    CallEnd.BAD_GATEWAY: "unavailable",
}


def drop(response: aiohttp.ClientResponse | None) -> None:
    """Close the connection where more might come over it; an answer that was read to its end has given it back."""
    if response is not None and not response.content.at_eof():
        response.close()
