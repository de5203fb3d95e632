"""A store, an embedder and models in memory, for tests of the pipeline: good ones, broken ones, and some that hang."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from recsys_gateway.catalog.embedding import EmbedderError
from recsys_gateway.catalog.failures import StoreUnavailable
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, FieldKind, Filters
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.catalog.searching import Hit, SearchRequest
from recsys_gateway.catalog.user_vectors import RANK
from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.engines.dialect import ChatCall, ChoiceCall
from recsys_gateway.recommend.answer import Answer
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import Parts, Pipeline, TunedModel
from recsys_gateway.recommend.snapshot import CatalogSnapshot
from recsys_gateway.recommend.stages import Query, Sampling
from recsys_gateway.recommend.vocabulary import Vocabulary
from recsys_gateway.serving.completions import Completion, FirstToken, Part, TokenUsage
from recsys_gateway.serving.failures import UpstreamUnavailable

WORDS = ["jacket", "tent", "lamp", "cap"]


def stored(item_id: str, title: str, price: float, side: int, *, in_stock: bool = True) -> StoredItem:
    text = np.zeros(len(WORDS), np.float32)
    text[side] = 1
    collaborative = np.zeros(2 * RANK, np.float32)
    collaborative[side] = collaborative[RANK + side] = 1
    return StoredItem(Item(item_id, title, "", (WORDS[side],), price, in_stock), text, collaborative, 0.1)


SHOP = [
    stored("J1", "Fjord Rain Jacket", 90, 0),
    stored("J2", "Meadow Wind Jacket", 60, 0),
    stored("T1", "Desert Dome Tent", 200, 1),
    stored("L1", "Glow Camp Lamp", 30, 2),
    stored("C1", "Trail Sun Cap", 20, 3),
    stored("C2", "Sold Out Cap", 20, 3, in_stock=False),
]
NAMES = {each.item.id for each in SHOP}


class MemoryStore:
    """Scores by the sum of the arms' inner products. ``broken`` names calls that find Milvus gone."""

    def __init__(self, broken: Iterable[str] = ()) -> None:
        self.broken = set(broken)
        self.requests: list[SearchRequest] = []

    def _check(self, call: str) -> None:
        if call in self.broken:
            raise StoreUnavailable("gone")

    async def user(self, user_id: str) -> User | None:
        self._check("user")
        return User("7", {"age": 30}, ("T1", "L1")) if user_id == "7" else None

    async def items(self, ids: Sequence[str]) -> Mapping[str, StoredItem]:
        self._check("items")
        return {each.item.id: each for each in SHOP if each.item.id in set(ids)}

    async def search(self, request: SearchRequest) -> list[Hit]:
        self._check("search")
        self.requests.append(request)
        words = set(request.keywords.split())

        def score(each: StoredItem) -> float:
            text = 0.0 if request.text is None else float(request.text @ each.text)
            user = 0.0
            if request.user_vector is not None and each.collaborative is not None:
                user = float(request.user_vector @ each.collaborative)
            return text + user + len(words & set(each.item.document.casefold().split()))

        passing = [each for each in SHOP if each.item.in_stock and request.filters.matches(each.item)]
        return [Hit(each, score(each)) for each in sorted(passing, key=score, reverse=True)[: request.limit]]

    async def popular(self, limit: int, filters: Filters = NO_FILTERS) -> list[StoredItem]:
        self._check("popular")
        return [each for each in SHOP if each.item.in_stock and filters.matches(each.item)][:limit]

    async def fields(self) -> Mapping[str, FieldKind]:
        return ITEM_FIELDS

    async def revision(self) -> str:
        return "1"


class HungStore(MemoryStore):
    """Does not answer the calls in ``broken``, as a Milvus that was stopped."""

    async def search(self, request: SearchRequest) -> list[Hit]:
        if "search" in self.broken:
            await asyncio.Event().wait()
        return await super().search(request)

    async def items(self, ids: Sequence[str]) -> Mapping[str, StoredItem]:
        if "items" in self.broken:
            await asyncio.Event().wait()
        return await super().items(ids)


class WordEmbedder:
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float(word in text) for word in WORDS] for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class BrokenEmbedder:
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        raise EmbedderError("the model failed")


@dataclass
class ScriptedModel:
    """Answers by ``say``, a function of the prompt's text; an exception in its place is raised."""

    say: Callable[[str], str] | Exception
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(100, 10))
    calls: list[ChatCall] = field(default_factory=list)
    breaks_after: int | None = None

    def _text(self, call: ChatCall) -> str:
        self.calls.append(call)
        if isinstance(self.say, Exception):
            raise self.say
        return self.say(call.messages[-1][1])

    async def chat(self, call: ChatCall) -> Completion:
        return Completion(self._text(call), "stop", self.usage)

    async def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]:
        text = self._text(call)
        for count, start in enumerate(range(0, len(text), 3)):
            if count == self.breaks_after:
                raise UpstreamUnavailable("broke off")
            yield Part(text[start : start + 3])
        yield Part("", "stop", self.usage)


class SilentModel(ScriptedModel):
    async def chat(self, call: ChatCall) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError

    async def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]:
        await asyncio.Event().wait()
        yield Part()


class Chooser(ScriptedModel):
    """Says which tokens may come first: ``tokens``, each half as likely as the one before."""

    alternatives: int | None = None

    def __init__(self, *tokens: str) -> None:
        super().__init__(UpstreamUnavailable("these modes need no text"))
        self.tokens = tokens

    async def choose(self, call: ChoiceCall) -> FirstToken:
        told = [(token, -0.7 * place) for place, token in enumerate(self.tokens, 1)]
        return FirstToken(tuple(told[: call.alternatives]), TokenUsage(40, 1))


class WordCounts:
    async def of(self, texts: Iterable[str]) -> Mapping[str, int]:
        return {text: len(text.split()) for text in texts}

    async def of_whole(self, texts: Iterable[str]) -> int | None:
        return sum(len(text.split()) for text in texts)


class NoCounts(WordCounts):
    async def of(self, texts: Iterable[str]) -> Mapping[str, int]:
        raise UpstreamUnavailable("gone")

    async def of_whole(self, texts: Iterable[str]) -> int | None:
        return None


class NewItem(WordCounts):
    """A tokenizer that has no token for the wind jacket."""

    async def of(self, texts: Iterable[str]) -> Mapping[str, int]:
        return {text: 4 if text == "<J2>" else count for text, count in (await super().of(texts)).items()}


class HungCounts(WordCounts):
    """Does not answer the calls in ``hung``, as an engine that was stopped."""

    def __init__(self, *hung: str) -> None:
        self.hung = hung

    async def of(self, texts: Iterable[str]) -> Mapping[str, int]:
        if "of" in self.hung:
            await asyncio.Event().wait()
        return await super().of(texts)

    async def of_whole(self, texts: Iterable[str]) -> int | None:
        if "of_whole" in self.hung:
            await asyncio.Event().wait()
        return await super().of_whole(texts)


def ranks(*ids: str) -> ScriptedModel:
    return ScriptedModel(lambda _prompt: json.dumps({"items": [f"<{item_id}>" for item_id in ids]}))


MEMORY = CatalogSnapshot(tuple(SHOP), ITEM_FIELDS, Vocabulary.of(each.item.document for each in SHOP))
TELLS = ScriptedModel(lambda _prompt: "Take [1] today. Also [2].")
WHOLE = Parts(MemoryStore(), MEMORY, WordEmbedder(), TunedModel(ranks("J2", "J1"), WordCounts()), TELLS)
ASKED = Query("a rain jacket", "7", 3, RankingMode.TOOL_CALL, Sampling(seed=5), 0.7, None, None, True, True)


async def events(parts: Parts, query: Query = ASKED, seconds: float = 5) -> list[object]:
    ticks = itertools.count()
    pipeline = Pipeline(Recommendation(), lambda: parts, lambda: next(ticks) / 1000)
    clock = asyncio.get_running_loop().time
    return [event async for event in pipeline.run(query, Deadline(clock() + seconds, clock))]


async def answer(parts: Parts, query: Query = ASKED, seconds: float = 5) -> Answer:
    last = (await events(parts, query, seconds))[-1]
    assert isinstance(last, Answer)
    assert {each.verified.item.id for each in last.items} <= NAMES - {"C2"}
    return last


def ids(given: Answer) -> list[str]:
    return [each.verified.item.id for each in given.items]


def degraded(given: Answer) -> list[tuple[str, str]]:
    assert all(each.detail for each in given.degraded)
    return [(each.stage.value, each.reason.value) for each in given.degraded]


async def timed(parts: Parts, query: Query = ASKED, seconds: float = 1) -> tuple[Answer, float]:
    clock = asyncio.get_running_loop().time
    began = clock()
    return await answer(parts, query, seconds), clock() - began
