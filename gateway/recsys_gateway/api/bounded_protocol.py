"""HTTP/1.1 that waits for a request's headers for so long and no longer, and takes so many bytes of them and no more.

uvicorn bounds neither: a client that sends half a header would hold its connection, and memory, for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 15.0
"""From the first byte of a request, or from the connection, to the end of its headers."""
MAX_HEADER_BYTES = 64 << 10
"""Of all headers of a request, and of its address."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own protocol with both bounds."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's own types are wider
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._heard()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._patience is None:
            self._wait()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        self._heard()
        if self._header_bytes <= MAX_HEADER_BYTES:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._header_bytes <= MAX_HEADER_BYTES:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._header_bytes <= MAX_HEADER_BYTES:
            super().on_message_complete()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEADER_SECONDS, self._end, _TOO_SLOW)

    def _heard(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _count(self, size: int) -> None:
        before, self._header_bytes = self._header_bytes, self._header_bytes + size
        if before <= MAX_HEADER_BYTES < self._header_bytes:
            self._end(_TOO_LARGE)

    def _end(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
