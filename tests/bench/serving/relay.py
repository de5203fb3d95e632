"""The least that a gateway in Python can do: a bare ASGI application that passes bytes through with aiohttp.

``python -m bench.serving.relay PORT ENGINE_URL``. What the gateway costs is stated as a ratio to this.
"""

from __future__ import annotations

import sys

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

_LIMITS = aiohttp.ClientTimeout(total=None)
_JSON = {"content-type": "application/json"}


class Relay:
    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        async with self._session.post(
            self._engine + scope["path"], data=body, headers=_JSON, timeout=_LIMITS
        ) as response:
            kind = response.headers["content-type"].encode()
            headers = [(b"content-type", kind)]
            if response.content_length is not None:
                headers.append((b"content-length", b"%d" % response.content_length))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            async for chunk in response.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(
        Relay(sys.argv[2]),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="error",
        access_log=False,
    )
