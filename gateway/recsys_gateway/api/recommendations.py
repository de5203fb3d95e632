"""``POST /v1/recommendations``: as JSON, or as server-sent events."""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from recsys_gateway.api.disconnect import ClientGone, EventStream, unless_gone
from recsys_gateway.api.envelope import Exchange
from recsys_gateway.api.json_body import JsonRoute
from recsys_gateway.api.problems import Problem, unavailable, unforeseen
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.api.schema import MAX_SEED, ProblemBody, RecommendationAnswer, RecommendationRequest
from recsys_gateway.api.translation import answer_of, ild_of, item_of, models_of, query_of
from recsys_gateway.catalog.filters import FilterError, parse_filters
from recsys_gateway.recommend.answer import Answer, Delta, Event, ItemsReady
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import NothingToRecommend
from recsys_gateway.recommend.rank import RANKERS
from recsys_gateway.recommend.recommender import Recommender
from recsys_gateway.recommend.stages import Query
from recsys_gateway.telemetry import Metrics

MAX_TIMEOUT_SECONDS = 600.0
FIELDS_SHARE = 0.1
"""Of the time of a request, what it may take to ask the store for the names that filters may use."""
CLIENT_CLOSED_REQUEST = 499

log = logging.getLogger(__name__)
router = APIRouter(route_class=JsonRoute)

_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{0,18})?|\.[0-9]{1,18}", re.ASCII)  # float() would take 5_0, too

_PROBLEM = {"application/problem+json": {"schema": ProblemBody.model_json_schema()}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The answer."},
    400: {"content": _PROBLEM, "description": "No JSON, a filter that cannot work, or a bad header."},
    415: {"content": _PROBLEM, "description": "The body is not said to be `application/json`."},
    422: {"content": _PROBLEM, "description": "A field is wrong; `errors` has the paths."},
    503: {"content": _PROBLEM, "description": "Nothing of the catalogue is known yet; see `Retry-After`."},
}


@router.post("/v1/recommendations", response_model=RecommendationAnswer, responses=_RESPONSES)
async def recommend(
    body: RecommendationRequest,
    request: Request,
    timeout: Annotated[str | None, Header(alias="x-request-timeout", description="Seconds, decimal.")] = None,  # noqa: ASYNC109  a header's value
) -> Response:
    """Items of the catalogue for a question, a customer or both, and a sentence about them."""
    started = time.perf_counter()
    runtime: Runtime = request.app.state.runtime
    exchange: Exchange = request.scope["state"]["exchange"]
    if runtime.recommender is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_configured", "this gateway has no recommendation configured")
    seconds = _seconds(timeout, runtime.config.admission.default_timeout_seconds)
    deadline = Deadline(started + seconds, time.perf_counter)
    query = await _query(body, runtime.recommender, deadline.share(FIELDS_SHARE))
    run = _Run(runtime, runtime.recommender, body, query, exchange, started, deadline)
    try:
        if not body.stream:
            return await unless_gone(run.whole(), request.receive)
        events = run.recommender.pipeline.run(query, run.deadline)
        # The status is settled only when the items are there: what fails before is a problem, not a broken stream.
        first = await unless_gone(anext(events), request.receive)
        return EventStream(run.events(first, events))
    except NothingToRecommend as error:
        raise unavailable(str(error)) from None
    except ClientGone:
        exchange.outcome = "client_gone"
        return Response(status_code=CLIENT_CLOSED_REQUEST)


def _seconds(header: str | None, default: float) -> float:
    seconds = default
    if header is not None:
        seconds = float(header) if _DECIMAL.fullmatch(header.strip()) else math.nan
    if not 0 < seconds <= MAX_TIMEOUT_SECONDS:
        detail = f"x-request-timeout: decimal seconds above 0, at most {MAX_TIMEOUT_SECONDS:g}, are needed"
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_header", detail)
    return seconds


async def _query(body: RecommendationRequest, recommender: Recommender, deadline: Deadline) -> Query:
    """The pipeline's query. A mode that is not there, and a filter that cannot work, are problems of the request."""
    mode = body.mode or recommender.settings.mode
    if mode not in RANKERS:
        message = f"{mode} is not there yet; modes: {', '.join(RANKERS)}"
        errors = [{"path": "mode", "message": message}]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "validation", f"mode: {message}", errors=errors)
    try:
        filters = parse_filters(body.filters, await recommender.keeper.fields(body.filters, deadline.left()))
    except FilterError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_filter", str(error)) from None
    seed = secrets.randbelow(MAX_SEED + 1) if body.seed is None else body.seed
    return query_of(body, recommender.settings, filters, seed)


@dataclass(frozen=True, slots=True)
class _Run:
    """One request being answered."""

    runtime: Runtime
    recommender: Recommender
    body: RecommendationRequest
    query: Query
    exchange: Exchange
    started: float
    deadline: Deadline

    async def whole(self) -> Response:
        """The answer as one JSON body."""
        answer: Answer | None = None
        async with aclosing(self.recommender.pipeline.run(self.query, self.deadline)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    answer = event
        if answer is None:
            raise RuntimeError("the pipeline ended without an answer")
        return Response(self._finished(answer).model_dump_json(exclude=self._hidden()), media_type="application/json")

    async def events(self, first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
        """The answer as events; what fails after the first one becomes an ``error`` event."""
        waiting = True
        async with aclosing(rest):
            try:
                yield self._event(first)
                async for event in rest:
                    if isinstance(event, Delta) and waiting:
                        self.runtime.metrics.first_token_seconds.observe(time.perf_counter() - self.started)
                        waiting = False
                    yield self._event(event)
            except Exception:  # a stream that has begun can only say that it failed
                log.exception("unforeseen error in a stream")
                self.exchange.outcome = "error"
                yield _sse("error", json.dumps(unforeseen().body()))

    def _event(self, event: Event) -> str:
        match event:
            case ItemsReady():
                items = [item_of(each).model_dump() for each in event.items]
                return _sse("items", json.dumps({"items": items, "ild": ild_of(event.ild).model_dump()}))
            case Delta():
                return _sse("delta", json.dumps({"text": event.text}))
            case Answer():
                return _sse("done", self._finished(event).model_dump_json(exclude=self._hidden()))

    def _hidden(self) -> set[str]:
        return set() if self.body.explain else {"explanation"}

    def _finished(self, answer: Answer) -> RecommendationAnswer:
        """The body of the answer; it is counted on the way."""
        if answer.degraded:
            self.exchange.outcome = "degraded"
        _count(self.runtime.metrics, answer)
        return answer_of(
            answer,
            answer_id=f"rec-{uuid.uuid4().hex}",
            seed=self.query.sampling.seed,
            models=models_of(self.runtime.config),
            explain=self.body.explain,
        )


def _sse(event: str, data: str) -> str:
    return f"event: {event}\ndata: {data}\n\n"


def _count(metrics: Metrics, answer: Answer) -> None:
    for stage, milliseconds in answer.timings_ms.items():
        if stage != "total":
            metrics.stage_seconds.labels(stage).observe(milliseconds / 1000)
    for stage, usage in (("rank", answer.tokens.rank), ("narrate", answer.tokens.narrate)):
        metrics.tokens.labels(stage, "prompt").inc(usage.prompt)
        metrics.tokens.labels(stage, "completion").inc(usage.completion)
    metrics.tokens_saved.inc(max(0, answer.tokens.saved or 0))
    for each in answer.degraded:
        metrics.degraded.labels(each.stage.value).inc()
    for rejection, count in answer.rejected.items():
        metrics.rejected_items.labels(rejection.value).inc(count)
    if answer.items:
        metrics.ild.observe(answer.ild.cosine)
