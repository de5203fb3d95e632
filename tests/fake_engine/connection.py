"""HTTP/1.1 with as little work as possible: an engine must cost less than the router that is measured before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Exchange:
    """One request and the ways to answer it. ``on_gone`` is called once where the client leaves before the end."""

    def __init__(self, connection: Connection, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        self._connection = connection
        self.method = method
        self.path = path
        self.headers = headers
        self.body = b""
        self.on_gone: Callable[[], None] | None = None

    def respond(self, status: int, body: str = "", content_type: str | None = None, headers: str = "") -> None:
        """A whole answer. ``headers`` are lines that end in CRLF."""
        data = body.encode()
        kind = f"content-type: {content_type}\r\n" if content_type else ""
        line = f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n"
        head = f"{line}{kind}{headers}content-length: {len(data)}\r\n\r\n"
        self._connection.send(head.encode("latin-1") + data)
        self._end()

    def begin_stream(self, headers: str) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}transfer-encoding: chunked\r\n\r\n"
        self._connection.send(head.encode("latin-1"))

    def send_event(self, event: bytes) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(event), event))

    def end_stream(self) -> None:
        self._connection.send(b"0\r\n\r\n")
        self._end()

    def drop(self) -> None:
        """Close the connection, whatever was sent."""
        self.on_gone = None
        self._connection.close()

    def _end(self) -> None:
        self.on_gone = None
        self._connection.ready_for_next()


class Connection(asyncio.Protocol):
    """Requests of one connection, one after another; ``handle`` gets each when its body is whole."""

    def __init__(self, handle: Callable[[Exchange], None]) -> None:
        self._handle = handle
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None
        self._answering = False
        self._next: list[Exchange] = []
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        current, self._current = self._current, None
        self._next.clear()
        if current is not None and current.on_gone is not None:
            gone, current.on_gone = current.on_gone, None
            gone()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if name.lower() == b"expect":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        path = self._url.partition(b"?")[0].decode("latin-1")
        exchange = Exchange(self, self._parser.get_method().decode("ascii"), path, self._headers)
        exchange.body = self._body
        self._closes = not self._parser.should_keep_alive()
        if self._answering:
            self._next.append(exchange)
            return
        self._begin(exchange)

    def _begin(self, exchange: Exchange) -> None:
        self._answering, self._current = True, exchange
        self._handle(exchange)

    def ready_for_next(self) -> None:
        self._answering, self._current = False, None
        if self._closes and not self._next:
            self.close()
        elif self._next:
            self._begin(self._next.pop(0))

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()
