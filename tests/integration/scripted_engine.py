"""An engine that speaks llama.cpp's HTTP and misbehaves as it is told: for what no real engine does on demand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

Ranked = Callable[[list[str]], str]
"""From the tokens that the schema allows to the text of the answer."""


def first_ones(tokens: list[str]) -> str:
    """What a well-behaved tuned model says: the first five candidates."""
    return json.dumps({"items": tokens[:5]})


class ScriptedEngine:
    """``rank`` and ``story`` are what it says; ``status`` and ``hangs`` how it fails; ``cut_after`` cuts its streams.
    ``extra`` are tokens that it holds for likelier than any candidate.

    ``aborted`` counts answers that the client left before their end.
    """

    def __init__(self) -> None:
        self.rank: Ranked = first_ones
        self.story = "I would take [1]. You may also like [2]."
        self.status = 200
        self.hangs = False
        self.cut_after: int | None = None
        self.extra: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.aborted = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_get("/health", self._health)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        tokens: list[int] = []
        for part in body["content"]:
            tokens += [part] if isinstance(part, int) else range(len(re.findall(r"<[^<>\s]+>|\w+|\S", part)))
        return web.json_response({"tokens": tokens})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        try:
            if self.hangs:
                await asyncio.Event().wait()
            if self.status != 200:
                return web.json_response({"error": {"message": "told to fail"}}, status=self.status)
            return await self._streamed(request) if body["stream"] else self._whole(body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.aborted += 1
            raise

    def _whole(self, body: dict[str, Any]) -> web.Response:
        if body.get("logprobs"):
            return web.json_response(self._first_token(body))
        schema = body.get("response_format", {}).get("schema", {})
        tokens = schema.get("properties", {}).get("items", {}).get("items", {}).get("enum", [])
        message = {"role": "assistant", "content": self.rank(tokens)}
        usage = {"prompt_tokens": 300, "completion_tokens": 20}
        return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    def _first_token(self, body: dict[str, Any]) -> dict[str, Any]:
        """One token with its alternatives: the letters or the item tokens of the prompt, in the order they stand there,
        each half as likely as the one before; ``extra`` come first."""
        prompt = body["messages"][-1]["content"]
        shown = re.findall(r"^(\w)\) ", prompt, re.MULTILINE) or re.findall(
            r"<[^<>\s]+>", prompt.split("Candidates:")[1]
        )
        told = [*self.extra, *shown][: body["top_logprobs"]]
        top = [{"token": token, "logprob": -0.7 * place, "bytes": None} for place, token in enumerate(told, 1)]
        choice = {"message": {"role": "assistant", "content": told[0]}, "finish_reason": "length"}
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        return {"choices": [choice], "usage": {"prompt_tokens": 60, "completion_tokens": 1}}

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)

        async def event(choices: list[dict[str, Any]], **more: object) -> None:
            await response.write(f"data: {json.dumps({'choices': choices, **more})}\n\n".encode())

        for count, start in enumerate(range(0, len(self.story), 4)):
            if count == self.cut_after:
                request.transport.close() if request.transport else None
                return response
            await event([{"delta": {"content": self.story[start : start + 4]}, "finish_reason": None}])
        await event([{"delta": {}, "finish_reason": "stop"}])
        await event([], usage={"prompt_tokens": 80, "completion_tokens": 15})
        await response.write(b"data: [DONE]\n\n")
        return response
