"""Token counts of texts by an engine's own tokenizer, remembered: the same lines come back in prompt after prompt."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Iterable, Mapping, Sequence

from recsys_gateway.serving.failures import UpstreamError
from recsys_gateway.serving.upstream import Upstream

CACHED_TEXTS = 65_536
CONCURRENT_CALLS = 16
BYTES_PER_TOKEN = 3.5


def estimate(text: str) -> int:
    """Tokens of ``text`` where no tokenizer can be asked: a token a 3.5 bytes, rounded up. English runs at about 4."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN)


class TokenCounts:
    """Counts for one model."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._cache: OrderedDict[str, int] = OrderedDict()
        self._calls = asyncio.Semaphore(CONCURRENT_CALLS)

    async def of(self, texts: Iterable[str]) -> Mapping[str, int]:
        """The count of each distinct text. Only those that are not remembered are asked for.

        Raises:
            UpstreamError: the engine did not answer.
            LookupError: this engine has no tokenizer to ask.
        """
        wanted = dict.fromkeys(texts)
        cold = [text for text in wanted if text not in self._cache]
        counts = dict(zip(cold, await self._ask(cold), strict=True))
        for text in wanted:
            if text in counts:
                self._cache[text] = counts[text]
            else:
                counts[text] = self._cache[text]
                self._cache.move_to_end(text)
        while len(self._cache) > CACHED_TEXTS:
            self._cache.popitem(last=False)
        return counts

    async def of_whole(self, texts: Iterable[str]) -> int | None:
        """The sum over ``texts``, asked anew and not remembered; None where the engine cannot say."""
        try:
            return sum(await self._ask(list(texts)))
        except (UpstreamError, LookupError):
            return None

    async def _ask(self, texts: Sequence[str]) -> list[int]:
        """Counts by as few calls as the engine allows, a bounded number of them at a time."""
        size = self._upstream.texts_per_count or len(texts)
        batches = [texts[start : start + size] for start in range(0, len(texts), max(1, size))]
        return [count for counts in await _gather(map(self._call, batches)) for count in counts]

    async def _call(self, texts: Sequence[str]) -> list[int]:
        async with self._calls:
            return await self._upstream.count(texts)


async def _gather(calls: Iterable[Awaitable[list[int]]]) -> list[list[int]]:
    """All results; when one fails the others are given up, so that nothing runs on unseen."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
