"""The client that does not block, on aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Self

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

if TYPE_CHECKING:
    import aiohttp


class AsyncClient:
    """To be used in an ``async with``; otherwise as ``Client``, whose methods say what they do.

    Cancelling a call ends its work in the gateway.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout: float = 120, tries: int = TRIES) -> None:
        self._access = Access.of(url, api_key, timeout, tries)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._access.timeout)
        self._session = aiohttp.ClientSession(headers=self._access.headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call[Answer]) -> Answer:
        """The answer to ``call``; what was refused for a moment is sent again where that is safe."""
        for tried in count(1):
            try:
                return call.parsed(await self._once(call))
            except GatewayError as error:
                await asyncio.sleep(self._access.pause(error, call, tried))
        raise AssertionError("the last try returns or raises")

    async def recommend(self, query: str = "", **more: object) -> RecommendationAnswer:
        return await self.send(calls.recommend(query, more))

    async def item(self, item_id: str) -> StoredItemAnswer:
        return await self.send(calls.item(item_id))

    async def similar(self, item_id: str, k: int = 10) -> SimilarAnswer:
        return await self.send(calls.similar(item_id, k))

    async def put_item(self, item_id: str, body: ItemBody | Body) -> BatchAnswer:
        return await self.send(calls.put_item(item_id, body))

    async def put_items(self, items: Iterable[KeyedItem | Body]) -> BatchAnswer:
        return await self.send(calls.put_items(items))

    async def remove_item(self, item_id: str) -> None:
        await self.send(calls.remove_item(item_id))

    async def user(self, user_id: str) -> UserAnswer:
        return await self.send(calls.user(user_id))

    async def put_user(self, user_id: str, body: UserBody | Body) -> BatchAnswer:
        return await self.send(calls.put_user(user_id, body))

    async def erase_user(self, user_id: str) -> None:
        await self.send(calls.erase_user(user_id))

    async def add_events(self, events: Iterable[EventBody | Body]) -> EventsAnswer:
        return await self.send(calls.add_events(events))

    async def _once(self, call: Call[Answer]) -> bytes:
        import aiohttp
        from yarl import URL

        if self._session is None:
            raise RuntimeError("use it in an async with")
        try:
            url = URL(self._access.root + call.path, encoded=True)
            async with self._session.request(call.method, url, data=call.content) as response:
                body = await response.read()
                if response.status < 400:
                    return body
                raise refusal(response.status, body, response.headers.get("retry-after"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise GatewayUnreachable(str(error) or type(error).__name__) from None
