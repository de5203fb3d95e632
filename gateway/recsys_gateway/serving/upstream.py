"""What the pipeline asks of a model: chat, whole or streamed, and counts of tokens. Calls are admitted and balanced."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from random import Random
from typing import TypeVar

import aiohttp

from recsys_gateway.config import Admission, Balancing, ServedModel
from recsys_gateway.engines.dialect import ChatCall, ChoiceCall, choice_body
from recsys_gateway.engines.ranking_modes import alternatives_of
from recsys_gateway.serving.balancer import Balancer, clock
from recsys_gateway.serving.balancing.dispatcher import CallEnd
from recsys_gateway.serving.caller import caller
from recsys_gateway.serving.completions import (
    Completion,
    FirstToken,
    Part,
    StreamFailed,
    parse_completion,
    parse_first_token,
    parse_json,
    read_parts,
)
from recsys_gateway.serving.discovery import listed_pods
from recsys_gateway.serving.engine_calls import CallObserver, EngineCalls, Terms, Timeouts
from recsys_gateway.serving.failures import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamOverloaded,
    UpstreamUnavailable,
    outcome_of,
)
from recsys_gateway.serving.open_call import OpenCall

Answer = TypeVar("Answer")

CHAT = "/v1/chat/completions"
JSON_BODY_BYTES = 8 << 20


class Upstream:
    """One model. A call that is cancelled aborts the engine's work: its connection is closed.

    ``trace_headers`` are what an engine needs to go on with the trace of the stage that calls it.
    """

    def __init__(self, calls: EngineCalls, trace_headers: Callable[[], Mapping[str, str]] = dict) -> None:
        self.calls = calls
        self._trace_headers = trace_headers

    @classmethod
    def to(
        cls,
        model: ServedModel,
        session: aiohttp.ClientSession,
        timeouts: Timeouts | None = None,
        observer: CallObserver | None = None,
    ) -> Upstream:
        """For programs that talk to one model and watch none of its pods.

        ``timeouts`` stand in for the model's own. Raises ConfigurationError: its engine has no dialect here.
        """
        balancing = Balancing()
        balancer = Balancer(model, Admission(), balancing, Random())
        balancer.set_pods([spec for pool in model.pools for spec in listed_pods(pool)])
        return cls(EngineCalls(balancer, session, balancing.retry_budget, timeouts, observer))

    @property
    def model(self) -> ServedModel:
        return self.calls.model

    async def chat(self, call: ChatCall) -> Completion:
        """The whole answer.

        Raises:
            UpstreamError: one of its classes, see ``failures``.
        """
        return await self._whole(self._chat_body(call, streamed=False), parse_completion)

    @property
    def alternatives(self) -> int | None:
        """How many alternatives of a token ``choose`` may ask for; None: any number."""
        return alternatives_of(self.model)

    async def choose(self, call: ChoiceCall) -> FirstToken:
        """What the answer may begin with. One token is made.

        Raises:
            UpstreamError: one of its classes.
        """
        return await self._whole(choice_body(self.calls.dialect, self.model.name, call), parse_first_token)

    async def _whole(self, body: Mapping[str, object], parse: Callable[[object], Answer]) -> Answer:
        """The answer to ``body``, read by ``parse``, which raises UpstreamInvalid where it is none."""
        opened = await self._open(body, streamed=False)
        try:
            answer = parse(parse_json(await opened.whole(JSON_BODY_BYTES)))
        except UpstreamError as error:
            opened.end(CallEnd.OK, outcome_of(error))
            raise
        else:
            opened.end(CallEnd.OK)
            return answer
        finally:
            opened.end()

    async def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]:
        """The answer in parts, as the engine says them. Close the iterator to abort the engine's work.

        Raises:
            UpstreamError: one of its classes; also after the first parts.
        """
        answer = await self._open(self._chat_body(call, streamed=True), streamed=True)
        try:
            async with aclosing(read_parts(_all_of(answer))) as parts:
                async for part in parts:
                    yield part
            answer.end(CallEnd.OK)
        except StreamFailed as failed:
            error = self._of_event(failed.body)
            answer.end(CallEnd.OVERLOADED if isinstance(error, UpstreamOverloaded) else CallEnd.FAILED)
            raise error from None
        except UpstreamError as error:
            answer.end(CallEnd.FAILED, outcome_of(error))
            raise
        finally:
            answer.end()

    @property
    def texts_per_count(self) -> int:
        """How many texts one ``count`` may hold; 0 where the engine has no tokenizer to ask."""
        route = self.calls.dialect.tokenize
        return route.texts_per_call if route else 0

    async def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each of ``texts`` (1 to ``texts_per_count``), by the engine's own tokenizer.

        Raises:
            UpstreamError: one of its classes.
            LookupError: this engine has no tokenizer to ask.
        """
        dialect = self.calls.dialect
        if dialect.tokenize is None:
            raise LookupError(f"{self.model.engine} has no tokenizer to ask")
        body, seconds = dialect.tokenize_body(texts), self.calls.timeouts.tokenize
        answer = await self.calls.ask(dialect.tokenize.path, body, seconds, JSON_BODY_BYTES)
        try:
            return dialect.token_counts(parse_json(answer), len(texts))
        except ValueError as error:
            raise UpstreamInvalid(str(error)) from None

    async def healthy(self) -> bool:
        """Whether some pod answers its health route with success."""
        return await self.calls.healthy()

    def _chat_body(self, call: ChatCall, *, streamed: bool) -> Mapping[str, object]:
        return self.calls.dialect.chat_body(self.model.name, call, stream=streamed)

    async def _open(self, body: Mapping[str, object], *, streamed: bool) -> OpenCall:
        return await self.calls.open(
            CHAT, json.dumps(body, ensure_ascii=False).encode(errors="replace"), self._terms(streamed)
        )

    def _terms(self, streamed: bool) -> Terms:
        behalf = caller.get()
        identity = {"x-request-id": behalf.request_id} if behalf.request_id else {}
        return Terms(
            clock() + self.calls.timeouts.first_byte,
            streamed,
            behalf.tenant,
            behalf.priority,
            sticky=behalf.sticky,
            patient=False,
            headers={**identity, **self._trace_headers()},
        )

    def _of_event(self, body: str) -> UpstreamError:
        name = self.model.name
        if self.calls.dialect.overloaded(200, body):
            return UpstreamOverloaded(f"{name}: overloaded (in its stream)")
        return UpstreamUnavailable(f"{name}: failed (in its stream)")


async def _all_of(answer: OpenCall) -> AsyncIterator[bytes]:
    yield answer.first
    async for chunk in answer.rest():
        yield chunk
