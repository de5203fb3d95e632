"""``POST /v1/recommendations``: as JSON, or as server-sent events."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from recsys_gateway.api.disconnect import ClientGone, EventStream, unless_gone
from recsys_gateway.api.envelope import Exchange
from recsys_gateway.api.json_body import JsonRoute
from recsys_gateway.api.problems import Problem, unavailable
from recsys_gateway.api.recommendation_run import FIELDS_SHARE, RecommendationRun, query_from
from recsys_gateway.api.request_terms import BadHeader, caller_of, seconds_of
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.api.schema import ProblemBody, RecommendationAnswer, RecommendationRequest
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import NothingToRecommend
from recsys_gateway.serving.caller import caller

CLIENT_CLOSED_REQUEST = 499

router = APIRouter(route_class=JsonRoute)

_PROBLEM = {"application/problem+json": {"schema": ProblemBody.model_json_schema()}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer."},
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
    priority: Annotated[str | None, Header(alias="x-priority", description="`high`, `normal` or `low`.")] = None,
) -> Response:
    """Items of the catalogue for a question, a customer or both, and a sentence about them."""
    started = time.perf_counter()
    runtime: Runtime = request.app.state.runtime
    exchange: Exchange = request.scope["state"]["exchange"]
    if runtime.recommender is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_configured", "this gateway has no recommendation configured")
    try:
        seconds = seconds_of(timeout, runtime.config.admission.default_timeout_seconds)
        caller.set(caller_of(request.scope, priority, body.user_id))
    except BadHeader as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_header", str(error)) from None
    deadline = Deadline(started + seconds, time.perf_counter)
    query = await query_from(body, runtime.recommender, deadline.share(FIELDS_SHARE))
    run = RecommendationRun(runtime, runtime.recommender, body, query, exchange, started, deadline)
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
