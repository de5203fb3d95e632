"""The client that blocks, on the standard library alone."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from itertools import count

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
from recsys_gateway.client import calls
from recsys_gateway.client.calls import TRIES, Access, Answer, Body, Call, GatewayError, GatewayUnreachable, refusal


class Client:
    """``url`` may lack ``http://``. A proxy of the environment is passed by: it knows nothing of 127.0.0.1.

    Every method raises GatewayError (it refused) and GatewayUnreachable (it is not there).
    """

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 120, tries: int = TRIES) -> None:
        self._access = Access.of(url, api_key, timeout, tries)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(self, call: Call[Answer]) -> Answer:
        """The answer to ``call``; what was refused for a moment is sent again where that is safe."""
        return call.parsed(self.content(call))

    def content(self, call: Call[Answer]) -> bytes:
        """The body of the answer, as it came."""
        for tried in count(1):
            try:
                return self._once(call)
            except GatewayError as error:
                time.sleep(self._access.pause(error, call, tried))
        raise AssertionError("the last try returns or raises")

    def recommend(self, query: str = "", **more: object) -> RecommendationAnswer:
        """Items for ``query``; ``more`` are the other fields of the request: user_id, k, filters, rules, seed …"""
        return self.send(calls.recommend(query, more))

    def item(self, item_id: str) -> StoredItemAnswer:
        return self.send(calls.item(item_id))

    def similar(self, item_id: str, k: int = 10) -> SimilarAnswer:
        """Items in stock whose texts are like this one's."""
        return self.send(calls.similar(item_id, k))

    def put_item(self, item_id: str, body: ItemBody | Body) -> BatchAnswer:
        """Add or replace an item."""
        return self.send(calls.put_item(item_id, body))

    def put_items(self, items: Iterable[KeyedItem | Body]) -> BatchAnswer:
        """Add or replace up to 1,000 items."""
        return self.send(calls.put_items(items))

    def remove_item(self, item_id: str) -> None:
        self.send(calls.remove_item(item_id))

    def user(self, user_id: str) -> UserAnswer:
        return self.send(calls.user(user_id))

    def put_user(self, user_id: str, body: UserBody | Body) -> BatchAnswer:
        """Set a customer's traits; the history stays."""
        return self.send(calls.put_user(user_id, body))

    def erase_user(self, user_id: str) -> None:
        """Erase a customer with all events."""
        self.send(calls.erase_user(user_id))

    def add_events(self, events: Iterable[EventBody | Body]) -> EventsAnswer:
        """Note up to 1,000 events; one that comes again, by its id, counts once."""
        return self.send(calls.add_events(events))

    def _once(self, call: Call[Answer]) -> bytes:
        access = self._access
        try:
            request = urllib.request.Request(  # noqa: S310 - the user's own address
                access.root + call.path, call.content, dict(access.headers), method=call.method
            )
            with self._opener.open(request, timeout=access.timeout) as response:
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            raise refusal(error.code, error.read(), error.headers.get("retry-after")) from None
        except (urllib.error.URLError, TimeoutError, OSError, ValueError) as error:
            raise GatewayUnreachable(str(getattr(error, "reason", error))) from None
