"""One run of the pipeline for a request: the query, the answer whole or as events, and what is counted of it."""

from __future__ import annotations

import json
import logging
import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from recsys_gateway.api.envelope import Exchange
from recsys_gateway.api.problems import Problem, unforeseen
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.api.schema import MAX_SEED, RecommendationAnswer, RecommendationRequest
from recsys_gateway.api.translation import answer_of, ild_of, item_of, models_of, query_of
from recsys_gateway.catalog.filters import FilterError, parse_filters
from recsys_gateway.recommend.answer import Answer, Delta, Event, ItemsReady
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.recommender import Recommender
from recsys_gateway.recommend.stages import Query
from recsys_gateway.telemetry import Metrics

FIELDS_SHARE = 0.1
"""Of the time of a request, what it may take to ask the store for the names that filters may use."""

log = logging.getLogger(__name__)


async def query_from(body: RecommendationRequest, recommender: Recommender, deadline: Deadline) -> Query:
    """The pipeline's query.

    A mode that the engine of the tuned model is not able to, and a filter that cannot work, are problems of the
    request.
    """
    if body.mode and (message := recommender.refusal(body.mode)):
        errors = [{"path": "mode", "message": message}]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "validation", f"mode: {message}", errors=errors)
    try:
        wanted = {**body.filters, **body.rules.must, **body.rules.must_not}
        fields = await recommender.keeper.fields(wanted, deadline.left())
        filters = parse_filters(body.filters, fields) & parse_filters(body.rules.must, fields)
        filters = filters & parse_filters(body.rules.must_not, fields).negated()
    except FilterError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid_filter", str(error)) from None
    seed = secrets.randbelow(MAX_SEED + 1) if body.seed is None else body.seed
    return query_of(body, recommender.settings, filters, seed)


@dataclass(frozen=True, slots=True)
class RecommendationRun:
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
        async with aclosing(self.recommender.pipeline.run(self.query, self.deadline)) as events:
            finished = await self.answer(await anext(events), events)
        return Response(finished.model_dump_json(exclude=self._hidden()), media_type="application/json")

    async def events(self, first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
        """The answer as events; what fails after the first one becomes an ``error`` event."""
        waiting = True
        async with aclosing(rest):
            try:
                yield self._event(first)
                async for event in rest:
                    if isinstance(event, Delta) and waiting:
                        self.first_words()
                        waiting = False
                    yield self._event(event)
            except Exception:  # a stream that has begun can only say that it failed
                self.log_failure()
                yield _sse("error", json.dumps(unforeseen().body()))

    def _event(self, event: Event) -> str:
        match event:
            case ItemsReady():
                items = [item_of(each).model_dump() for each in event.items]
                return _sse("items", json.dumps({"items": items, "ild": ild_of(event.ild).model_dump()}))
            case Delta():
                return _sse("delta", json.dumps({"text": event.text}))
            case Answer():
                return _sse("done", self.finished(event).model_dump_json(exclude=self._hidden()))

    def _hidden(self) -> set[str]:
        return set() if self.body.explain else {"explanation"}

    def finished(self, answer: Answer) -> RecommendationAnswer:
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

    async def answer(self, first: Event, rest: AsyncGenerator[Event, None]) -> RecommendationAnswer:
        """The last event, which is the answer, as its body."""
        last = first
        async for event in rest:
            last = event
        if not isinstance(last, Answer):
            raise RuntimeError("the pipeline ended without an answer")  # noqa: TRY004  no argument's type is wrong
        return self.finished(last)

    def shown(self, finished: RecommendationAnswer) -> dict[str, Any]:
        """The body as JSON values, with what the request asked to see."""
        return finished.model_dump(mode="json", exclude=self._hidden())

    def first_words(self) -> None:
        """The client hears something now."""
        self.runtime.metrics.first_token_seconds.observe(time.perf_counter() - self.started)

    def log_failure(self) -> None:
        """Inside an ``except``: what has just happened to a stream that had begun."""
        log.exception("unforeseen error in a stream")
        self.exchange.outcome = "error"


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
    metrics.without_token.inc(answer.explanation.without_token)
    for rejection, count in answer.rejected.items():
        metrics.rejected_items.labels(rejection.value).inc(count)
    if answer.items:
        metrics.ild.observe(answer.ild.cosine)
