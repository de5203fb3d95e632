"""What the routes of the catalogue share: who may change it, how long one waits for it, and what went wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Request, Response

from recsys_gateway.api.api_keys import Tenant
from recsys_gateway.api.catalog_schema import BatchAnswer, NewId
from recsys_gateway.api.disconnect import ClientGone, unless_gone
from recsys_gateway.api.problems import Problem, unavailable
from recsys_gateway.api.request_terms import BadHeader, seconds_of
from recsys_gateway.api.runtime import Runtime
from recsys_gateway.api.schema import Id, ProblemBody
from recsys_gateway.catalog.changes import Changed
from recsys_gateway.catalog.embedding import EmbedderError
from recsys_gateway.catalog.failures import NewerSchema, NotReady, QueueFull, StoreUnavailable
from recsys_gateway.catalog.limits import BadValue
from recsys_gateway.recommend.recommender import Recommender

Result = TypeVar("Result")

MAX_BATCH_BYTES = 16 << 20
PROBLEM = {"application/problem+json": {"schema": ProblemBody.model_json_schema()}}
READ_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"content": PROBLEM, "description": "A header that cannot be meant."},
    401: {"content": PROBLEM, "description": "An API key is needed, where keys are configured."},
    404: {"content": PROBLEM, "description": "There is none, or no catalogue is configured."},
    422: {"content": PROBLEM, "description": "A field is wrong; `errors` has the paths."},
    503: {"content": PROBLEM, "description": "The catalogue cannot be reached now; see `Retry-After`."},
}
WRITE_RESPONSES: dict[int | str, dict[str, Any]] = {
    **READ_RESPONSES,
    400: {"content": PROBLEM, "description": "No JSON, or a header that cannot be meant."},
    403: {"content": PROBLEM, "description": "An admin key is needed, where keys are configured."},
    413: {"content": PROBLEM, "description": "The body is too long."},
    415: {"content": PROBLEM, "description": "The body is not said to be `application/json`."},
    503: {
        "content": PROBLEM,
        "description": "Not written for certain: send it again after `Retry-After`; nothing is written twice.",
    },
}

READ: dict[str, Any] = {"responses": READ_RESPONSES}


def only_admins(request: Request) -> None:
    """A dependency: where keys are configured, the caller's must be an admin's."""
    runtime: Runtime = request.app.state.runtime
    tenant: Tenant | None = request.scope["state"].get("tenant")
    if runtime.config.auth is not None and not (tenant and tenant.admin):
        detail = "an admin key is needed (auth.adminKeysDirectory): this one may ask, and may not change the catalogue"
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)


CHANGE: dict[str, Any] = {"responses": WRITE_RESPONSES, "dependencies": [Depends(only_admins)]}
PUT: dict[str, Any] = CHANGE | {
    "responses": {**WRITE_RESPONSES, 201: {"description": "It is new.", "model": BatchAnswer}}
}
REMOVE: dict[str, Any] = CHANGE | {"status_code": 204}
"""How the routes of a kind are declared."""

PathId = Annotated[Id, Path(alias="id")]
NewPathId = Annotated[NewId, Path(alias="id")]


def recommender_of(request: Request) -> Recommender:
    runtime: Runtime = request.app.state.runtime
    if runtime.recommender is None:
        raise Problem(HTTPStatus.NOT_FOUND, "not_configured", "this gateway has no catalogue configured")
    return runtime.recommender


async def in_time(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """What ``work`` gives, within the time of the request; what the catalogue cannot do becomes a problem."""
    runtime: Runtime = request.app.state.runtime
    try:
        given = request.headers.get("x-request-timeout")
        seconds = seconds_of(given, runtime.config.admission.default_timeout_seconds)
        async with asyncio.timeout(seconds):
            return await unless_gone(work, request.receive)
    except BadHeader as error:
        work.close()
        raise Problem(HTTPStatus.BAD_REQUEST, "bad_header", str(error)) from None
    except TimeoutError:
        raise unavailable("not done in the time that the request has; it may be done later") from None
    except QueueFull:
        raise unavailable("too many changes wait to be written", 1) from None
    except NotReady:
        raise unavailable("the embedder is not there yet") from None
    except EmbedderError:
        raise unavailable("the embedder does not answer") from None
    except NewerSchema as error:
        raise unavailable(str(error), 60) from None
    except StoreUnavailable:
        raise unavailable("the catalogue cannot be reached") from None
    except BadValue as error:
        raise wrong(str(error)) from None
    except ClientGone:
        request.scope["state"]["exchange"].outcome = "client_gone"
        raise Problem(HTTPStatus.BAD_REQUEST, "client_gone", "the client has left") from None


def wrong(message: str, path: str | None = None) -> Problem:
    """422 for a value that the collections cannot hold; its message begins with the name of the field."""
    where = path or message.partition(":")[0]
    errors = [{"path": where, "message": message}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "validation", message, errors=errors)


@contextmanager
def fitting(path: str | None = None) -> Iterator[None]:
    """Where records are checked against what the collections hold; ``path`` names a record of a batch."""
    try:
        yield
    except BadValue as error:
        raise wrong(str(error), path) from None


def put_answer(changed: Changed, response: Response) -> BatchAnswer:
    """What became of one record that was put: 201 where it is new."""
    response.status_code = 201 if changed.created else 200
    return BatchAnswer(created=len(changed.created), updated=1 - len(changed.created))


def not_found(what: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, "not_found", f"there is no such {what}")
