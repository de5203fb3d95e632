"""``/v1/users`` and ``/v1/events``: customers, and what they do."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from recsys_gateway.api.catalog_access import (
    PUT,
    READ,
    REMOVE,
    WRITE_RESPONSES,
    NewPathId,
    PathId,
    fitting,
    in_time,
    not_found,
    put_answer,
    recommender_of,
)
from recsys_gateway.api.catalog_schema import (
    BatchAnswer,
    EventBatch,
    EventBody,
    EventsAnswer,
    UserAnswer,
    UserBody,
)
from recsys_gateway.api.json_body import JsonRoute
from recsys_gateway.catalog.limits import fitting_interaction, fitting_user
from recsys_gateway.catalog.records import Interaction, User

router = APIRouter(route_class=JsonRoute, tags=["users"])


@router.get("/v1/users/{id:path}", **READ)
async def read_user(user_id: PathId, request: Request) -> UserAnswer:
    """What is kept of a customer."""
    user = await in_time(request, recommender_of(request).store.user(user_id))
    if user is None:
        raise not_found("user")
    return UserAnswer(id=user.id, traits=dict(user.traits), history=list(user.history), dismissed=list(user.dismissed))


@router.put("/v1/users/{id:path}", **PUT)
async def put_user(user_id: NewPathId, body: UserBody, request: Request, response: Response) -> BatchAnswer:
    """Set the traits of a customer; the history stays."""
    with fitting():
        user = fitting_user(User(user_id, body.traits))
    return put_answer(await in_time(request, recommender_of(request).updates.put_users([user])), response)


@router.delete("/v1/users/{id:path}", **REMOVE)
async def erase_user(user_id: PathId, request: Request) -> None:
    """Erase a customer with all events; a load of tables that still hold them brings nothing back."""
    if await in_time(request, recommender_of(request).updates.erase_user(user_id)) is None:
        raise not_found("user")


@router.post("/v1/events", responses=WRITE_RESPONSES)
async def add_events(body: EventBatch | EventBody, request: Request) -> EventsAnswer:
    """Note up to 1,000 events, or one. The next recommendation knows of them."""
    given = body.events if isinstance(body, EventBatch) else [body]
    now = time.time()
    events = [
        Interaction(each.id, each.user_id, each.item_id, each.type.value, each.value, _moment(each, now))
        for each in given
    ]
    for place, event in enumerate(events):
        with fitting(f"events.{place}" if isinstance(body, EventBatch) else None):
            fitting_interaction(event)
    ids = {event.id for event in events}
    changed = await in_time(request, recommender_of(request).updates.add_events(events))
    accepted = len(changed.created & ids)
    return EventsAnswer(accepted=accepted, duplicates=len(events) - accepted)


def _moment(event: EventBody, now: float) -> float:
    return now if event.timestamp is None else float(event.timestamp)
