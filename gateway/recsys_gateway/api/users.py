"""``/v1/users`` and ``/v1/events``: customers, and what they do."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from recsys_gateway.api.catalog_access import (
    READ_RESPONSES,
    WRITE_RESPONSES,
    in_time,
    not_found,
    only_admins,
    recommender_of,
    wrong,
)
from recsys_gateway.api.catalog_schema import (
    BatchAnswer,
    EventBatch,
    EventBody,
    EventsAnswer,
    NewId,
    UserAnswer,
    UserBody,
)
from recsys_gateway.api.json_body import JsonRoute
from recsys_gateway.api.schema import Id
from recsys_gateway.catalog.limits import BadValue, fitting_interaction, fitting_user
from recsys_gateway.catalog.records import Interaction, User

router = APIRouter(route_class=JsonRoute, tags=["users"])

UserId = Annotated[Id, Path(alias="id")]
NewUserId = Annotated[NewId, Path(alias="id")]


@router.get("/v1/users/{id:path}", responses=READ_RESPONSES)
async def read_user(user_id: UserId, request: Request) -> UserAnswer:
    """What is kept of a customer."""
    user = await in_time(request, recommender_of(request).store.user(user_id))
    if user is None:
        raise not_found("user")
    return UserAnswer(id=user.id, traits=dict(user.traits), history=list(user.history), dismissed=list(user.dismissed))


@router.put(
    "/v1/users/{id:path}",
    responses={**WRITE_RESPONSES, 201: {"description": "The customer is new.", "model": BatchAnswer}},
    dependencies=[Depends(only_admins)],
)
async def put_user(user_id: NewUserId, body: UserBody, request: Request, response: Response) -> BatchAnswer:
    """Set the traits of a customer; the history stays."""
    try:
        user = fitting_user(User(user_id, body.traits))
    except BadValue as error:
        raise wrong(str(error)) from None
    changed = await in_time(request, recommender_of(request).updates.put_users([user]))
    response.status_code = 201 if changed.created else 200
    return BatchAnswer(created=len(changed.created), updated=1 - len(changed.created))


@router.delete("/v1/users/{id:path}", status_code=204, responses=WRITE_RESPONSES, dependencies=[Depends(only_admins)])
async def erase_user(user_id: UserId, request: Request) -> None:
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
        try:
            fitting_interaction(event)
        except BadValue as error:
            raise wrong(str(error), f"events.{place}" if isinstance(body, EventBatch) else None) from None
    ids = {event.id for event in events}
    changed = await in_time(request, recommender_of(request).updates.add_events(events))
    accepted = len(changed.created & ids)
    return EventsAnswer(accepted=accepted, duplicates=len(events) - accepted)


def _moment(event: EventBody, now: float) -> float:
    return now if event.timestamp is None else float(event.timestamp)
