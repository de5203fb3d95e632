"""Each request of the API as a value, and its answer as the API's own types. Pure: no network here.

Bodies are checked by the gateway: what it refuses comes back as a ``GatewayError`` that names the field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from recsys_gateway.api.catalog_schema import (
    BatchAnswer,
    EventBody,
    EventsAnswer,
    ItemBody,
    KeyedItem,
    SimilarAnswer,
    StoredItemAnswer,
    UserAnswer,
    UserBody,
)
from recsys_gateway.api.schema import RecommendationAnswer

Answer = TypeVar("Answer")
Body = Mapping[str, object] | BaseModel


class GatewayUnreachable(Exception):
    """No gateway answers at the address."""


class GatewayError(Exception):
    """The gateway refused. ``code`` is one of a closed set, ``retry_after`` in seconds where it may be tried again."""

    def __init__(self, status: int, body: bytes, retry_after: float | None = None) -> None:
        self.status, self.body, self.retry_after = status, body, retry_after
        problem = _problem(body)
        self.code = str(problem.get("code", ""))
        # The detail names the fields of ``errors``, too.
        told = [str(problem[part]) for part in ("title", "detail") if problem.get(part)]
        super().__init__(": ".join(told) or f"HTTP {status}")


TRIES = 3
"""Of a call that was refused for the moment (503 with Retry-After)."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a gateway is reached."""

    root: str
    headers: Mapping[str, str]
    timeout: float
    tries: int

    @classmethod
    def of(cls, url: str, api_key: str | None, timeout: float, tries: int) -> Access:
        """``url`` may lack ``http://``."""
        headers = {"accept": "application/json", "content-type": "application/json"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        return cls((url if "://" in url else f"http://{url}").rstrip("/"), headers, timeout, tries)

    def pause(self, error: GatewayError, call: Call[Any], tried: int) -> float:
        """Seconds until ``call`` may be sent again; raises ``error`` where it may not."""
        if error.retry_after is None or not call.again or tried >= self.tries:
            raise error
        return error.retry_after


def refusal(status: int, body: bytes, retry_after: str | None) -> GatewayError:
    """The error behind an answer; ``retry_after`` is its header."""
    return GatewayError(status, body, float(retry_after) if retry_after and status == 503 else None)


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request. ``again``: it may be sent a second time, for it sets what it says."""

    method: str
    path: str
    answer: TypeAdapter[Answer]
    body: Mapping[str, object] | None = None
    again: bool = True

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    def parsed(self, content: bytes) -> Answer:
        """The answer.

        Raises:
            GatewayError: it is none of this API.
        """
        try:
            return self.answer.validate_json(content or b"null")
        except ValidationError:
            raise GatewayError(502, b'{"title": "not an answer of a recsys gateway"}') from None


_RECOMMENDATION = TypeAdapter(RecommendationAnswer)
_ITEM, _SIMILAR, _USER = TypeAdapter(StoredItemAnswer), TypeAdapter(SimilarAnswer), TypeAdapter(UserAnswer)
_BATCH, _EVENTS, _NOTHING = TypeAdapter(BatchAnswer), TypeAdapter(EventsAnswer), TypeAdapter(None)


def recommend(query: str, more: Mapping[str, object]) -> Call[RecommendationAnswer]:
    return Call("POST", "/v1/recommendations", _RECOMMENDATION, {"query": query, **_given(more)})


def item(item_id: str) -> Call[StoredItemAnswer]:
    return Call("GET", _item_path(item_id), _ITEM)


def similar(item_id: str, k: int) -> Call[SimilarAnswer]:
    return Call("GET", f"{_item_path(item_id)}/similar?k={k}", _SIMILAR)


def put_item(item_id: str, body: ItemBody | Body) -> Call[BatchAnswer]:
    return Call("PUT", _item_path(item_id), _BATCH, _plain(body))


def put_items(items: Iterable[KeyedItem | Body]) -> Call[BatchAnswer]:
    return Call("POST", "/v1/items:batch", _BATCH, {"items": [_plain(each) for each in items]})


def remove_item(item_id: str) -> Call[None]:
    return Call("DELETE", _item_path(item_id), _NOTHING, again=False)


def user(user_id: str) -> Call[UserAnswer]:
    return Call("GET", f"/v1/users/{quote(user_id, safe='')}", _USER)


def put_user(user_id: str, body: UserBody | Body) -> Call[BatchAnswer]:
    return Call("PUT", f"/v1/users/{quote(user_id, safe='')}", _BATCH, _plain(body))


def erase_user(user_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/users/{quote(user_id, safe='')}", _NOTHING, again=False)


def add_events(events: Iterable[EventBody | Body]) -> Call[EventsAnswer]:
    return Call("POST", "/v1/events", _EVENTS, {"events": [_plain(each) for each in events]})


def _item_path(item_id: str) -> str:
    return f"/v1/items/{quote(item_id, safe='')}"


def _plain(body: Body) -> Mapping[str, object]:
    return body.model_dump(mode="json", exclude_none=True) if isinstance(body, BaseModel) else dict(body)


def _given(more: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in more.items() if value is not None}


def _problem(body: bytes) -> Mapping[str, object]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
