"""``model: "recommender"`` on the chat route: the whole pipeline behind a chat, for clients that know only chats.

The last user message is the question and ``user`` the customer. Fields of ``/v1/recommendations`` (``k``, ``filters``,
``diversity``, …) may stand beside them. The answer's text is the narration; the items come as ``recommendation``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.types import Scope, Send

from recsys_gateway.api.envelope import Exchange
from recsys_gateway.api.openai_errors import ApiError, invalid, unforeseen
from recsys_gateway.api.problems import of_validation, unavailable
from recsys_gateway.api.recommendation_run import FIELDS_SHARE, RecommendationRun, query_from
from recsys_gateway.api.request_terms import BadHeader, caller_of, header, seconds_of
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.api.schema import RecommendationAnswer, RecommendationRequest
from recsys_gateway.recommend.answer import Answer, Delta, Event
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import NothingToRecommend
from recsys_gateway.recommend.recommender import Recommender
from recsys_gateway.serving.caller import caller

RECOMMENDER = "recommender"
_OWN_FIELDS = ("k", "filters", "mode", "temperature", "top_k", "top_p", "diversity", "seed", "language")
_MORE_FIELDS = ("history", "exclude_seen", "narrate", "explain")


class RecommenderChat:
    """One chat."""

    def __init__(self, runtime: Runtime, recommender: Recommender, exchange: Exchange) -> None:
        self._runtime = runtime
        self._recommender = recommender
        self._exchange = exchange
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    async def answer(self, scope: Scope, body: dict[str, Any], send: Send) -> None:
        """Answer ``body``, whole or streamed.

        Raises:
            ApiError, Problem: it cannot be answered; nothing has been sent then.
        """
        started, default = time.perf_counter(), self._runtime.config.admission.default_timeout_seconds
        try:
            seconds = seconds_of(header(scope["headers"], b"x-request-timeout"), default)
            user = body.get("user")
            caller.set(
                caller_of(scope, header(scope["headers"], b"x-priority"), user if isinstance(user, str) else None)
            )
        except BadHeader as error:
            raise invalid(str(error), code="bad_header") from None
        deadline = Deadline(started + seconds, time.perf_counter)
        request = _request(body)
        query = await query_from(request, self._recommender, deadline.share(FIELDS_SHARE))
        run = RecommendationRun(self._runtime, self._recommender, request, query, self._exchange, started, deadline)
        events = self._recommender.pipeline.run(query, deadline)
        async with aclosing(events):
            try:
                first = await anext(events)
                if body.get("stream") is not True:
                    await self._whole(run, first, events, send)
                    return
            except NothingToRecommend as error:
                raise unavailable(str(error)) from None
            await self._stream(run, first, events, body, send)

    async def _whole(self, run: RecommendationRun, first: Event, rest: AsyncGenerator[Event, None], send: Send) -> None:
        finished = await run.answer(first, rest)
        choice = {"index": 0, "message": {"role": "assistant", "content": _text(finished)}, "finish_reason": "stop"}
        content = json.dumps(
            self._head("chat.completion")
            | {"choices": [choice], "usage": _usage(finished), "recommendation": run.shown(finished)}
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _stream(
        self,
        run: RecommendationRun,
        first: Event,
        rest: AsyncGenerator[Event, None],
        body: dict[str, Any],
        send: Send,
    ) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        try:
            said = False
            await _event(send, self._chunk({"role": "assistant", "content": ""}))
            async for event in rest:
                match event:
                    case Delta(text):
                        if not said:
                            run.first_words()
                        said = True
                        await _event(send, self._chunk({"content": text}))
                    case Answer():
                        for chunk in self._last(run, event, usage=usage, said=said):
                            await _event(send, chunk)
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        except Exception:  # a stream that has begun can only say that it failed
            run.log_failure()
            await send({"type": "http.response.body", "body": unforeseen().event(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _last(self, run: RecommendationRun, answer: Answer, *, usage: bool, said: bool) -> list[dict[str, Any]]:
        finished = run.finished(answer)
        chunks = [] if said else [self._chunk({"content": _text(finished)})]
        chunks.append(self._chunk({}, "stop") | {"recommendation": run.shown(finished)})
        if usage:
            chunks.append(self._head("chat.completion.chunk") | {"choices": [], "usage": _usage(finished)})
        return chunks

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": RECOMMENDER}

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._head("chat.completion.chunk") | {"choices": [choice]}


async def _event(send: Send, body: dict[str, Any]) -> None:
    data = f"data: {json.dumps(body)}\n\n".encode()
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _request(body: dict[str, Any]) -> RecommendationRequest:
    fields = {name: body[name] for name in (*_OWN_FIELDS, *_MORE_FIELDS) if body.get(name) is not None}
    try:
        return RecommendationRequest.model_validate({**fields, "query": _question(body), "user_id": body.get("user")})
    except ValidationError as error:
        problem = of_validation(
            RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()])
        )
        raise problem from None


def _question(body: dict[str, Any]) -> str:
    """The text of the last user message."""
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        match message:
            case {"role": "user", "content": str(text)}:
                return text
            case {"role": "user", "content": list(parts)}:
                return " ".join(
                    part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
                )
    raise ApiError(400, "invalid_request_error", None, "messages: a user message is needed", param="messages")


def _text(answer: RecommendationAnswer) -> str:
    """What is said; without a narration the titles."""
    return answer.answer or "\n".join(f"{n}. {item.title}" for n, item in enumerate(answer.items, 1))


def _usage(answer: RecommendationAnswer) -> dict[str, int]:
    prompt, completion = answer.tokens.prompt, answer.tokens.completion
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
