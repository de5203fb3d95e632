"""The pipeline with a store and models in memory: what it answers, and how it degrades stage by stage."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from recsys_gateway.catalog.embedding import EmbedderError
from recsys_gateway.catalog.failures import StoreRefused, StoreUnavailable
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, FieldKind, Filters, parse_filters
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.catalog.searching import Hit, SearchRequest
from recsys_gateway.catalog.user_vectors import RANK
from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.engines.dialect import ChatCall, ChoiceCall
from recsys_gateway.recommend.answer import Answer, Delta, ItemsReady
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import NothingToRecommend, Parts, Pipeline, TunedModel
from recsys_gateway.recommend.snapshot import CatalogSnapshot
from recsys_gateway.recommend.stages import Query, Rejection, Sampling, Usage
from recsys_gateway.recommend.vocabulary import Vocabulary
from recsys_gateway.serving.completions import Completion, FirstToken, Part, TokenUsage
from recsys_gateway.serving.failures import UpstreamOverloaded, UpstreamUnavailable

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


async def test_the_whole_path() -> None:
    items, *deltas, last = await events(WHOLE)
    assert isinstance(items, ItemsReady)
    assert isinstance(last, Answer)
    assert degraded(last) == []
    assert set(ids(last)) == {"J1", "J2", "C1"}
    titles = [each.verified.item.title for each in last.items]
    assert last.text == f"Take {titles[0]} today. Also {titles[1]}."
    assert "".join(delta.text for delta in deltas if isinstance(delta, Delta)) == last.text
    assert [*last.timings_ms] == ["keywords", "retrieve", "prompt", "rank", "verify", "diversify", "narrate", "total"]
    assert last.tokens.rank == last.tokens.narrate
    assert last.tokens.saved == last.tokens.plain_prompt - 100
    assert last.items[0].verified.confirmed_by[0] == "tuned"
    assert "matches" in last.items[0].reason


async def test_seen_items_are_left_out_unless_wanted() -> None:
    assert {"T1", "L1"}.isdisjoint(ids(await answer(WHOLE, replace(ASKED, size=10))))
    assert {"T1", "L1"} <= set(ids(await answer(WHOLE, replace(ASKED, size=10, exclude_seen=False))))


async def test_an_unknown_user_is_a_cold_one() -> None:
    store = MemoryStore()
    given = await answer(replace(WHOLE, catalog=store), replace(ASKED, user_id="nobody"))
    assert not given.explanation.known_user
    assert store.requests[0].user_vector is None


async def test_a_history_in_the_request_takes_the_place_of_the_stored_one() -> None:
    given = await answer(WHOLE, replace(ASKED, size=10, history=("J1",)))
    assert "J1" not in ids(given)
    assert {"T1", "L1"} <= set(ids(given))


async def test_without_a_query_the_history_is_searched_with() -> None:
    store = MemoryStore()
    given = await answer(replace(WHOLE, catalog=store), replace(ASKED, text=""))
    assert given.explanation.personal
    assert store.requests[0].text is None


async def test_neither_query_nor_user_gives_what_is_popular() -> None:
    store = MemoryStore()
    parts = replace(WHOLE, catalog=store, tuned=None)
    given = await answer(parts, replace(ASKED, text=" ", user_id=None, mmr_lambda=1.0))
    assert store.requests == []
    assert ids(given) == ["J1", "J2", "T1"]
    assert given.items[0].verified.confirmed_by == ("popular",)


async def test_filters_that_match_nothing_give_an_empty_answer_that_says_so() -> None:
    tuned = ranks("J1")
    query = replace(ASKED, filters=parse_filters({"price": {"gt": 10_000}}, ITEM_FIELDS))
    given = await answer(replace(WHOLE, tuned=TunedModel(tuned, WordCounts())), query)
    assert ids(given) == []
    assert given.text == "Nothing in the catalogue fits this request."
    assert (degraded(given), tuned.calls) == ([], [])


async def test_what_the_tuned_model_invents_is_dropped_counted_and_filled() -> None:
    parts = replace(WHOLE, tuned=TunedModel(ranks("GHOST", "C2", "J1", "J1", "T1"), WordCounts()))
    given = await answer(parts)
    assert given.rejected == {
        Rejection.UNKNOWN: 1,
        Rejection.OUT_OF_STOCK: 1,
        Rejection.DUPLICATE: 1,
        Rejection.SEEN: 1,
    }
    assert len(ids(given)) == 3


@pytest.mark.parametrize(
    ("tuned", "reason"),
    [
        (ScriptedModel(UpstreamUnavailable("gone")), "unavailable"),
        (ScriptedModel(UpstreamOverloaded("busy")), "overloaded"),
        (ScriptedModel(lambda _prompt: "I like the Fjord Rain Jacket."), "invalid_answer"),
        (SilentModel(lambda _prompt: ""), "timeout"),
        (None, "no_model"),
    ],
)
async def test_without_the_tuned_model_the_order_of_retrieval_stands(tuned: ScriptedModel | None, reason: str) -> None:
    parts = replace(WHOLE, tuned=TunedModel(tuned, WordCounts()) if tuned else None)
    given = await answer(parts, replace(ASKED, mmr_lambda=1.0), seconds=0.2)
    assert degraded(given) == [("rank", reason)]
    assert ids(given)[0] == "J1"
    assert given.tokens.saved is None
    assert given.text


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (ScriptedModel(UpstreamUnavailable("gone")), "unavailable"),
        (ScriptedModel(lambda _prompt: "Buy the Desert Dome Tent."), "unfaithful"),
        (ScriptedModel(lambda _prompt: "Take [8]."), "unfaithful"),
        (ScriptedModel(lambda _prompt: ""), "nothing_said"),
        (ScriptedModel(lambda _prompt: "Take [1]", breaks_after=1), "unavailable"),
        (SilentModel(lambda _prompt: ""), "timeout"),
        (None, "no_model"),
    ],
)
async def test_without_the_base_model_a_template_speaks(base: ScriptedModel | None, reason: str) -> None:
    given = await answer(replace(WHOLE, base=base), seconds=0.2)
    titles = [each.verified.item.title for each in given.items]
    assert degraded(given) == [("narrate", reason)]
    assert given.text == f"Recommended for you: {titles[0]}, {titles[1]} and {titles[2]}."


async def test_sentences_that_were_sent_stay_when_the_next_one_fails() -> None:
    given = await answer(replace(WHOLE, base=ScriptedModel(lambda _prompt: "Take [1]. And the Desert Dome Tent.")))
    assert given.text == f"Take {given.items[0].verified.item.title}."
    assert degraded(given) == [("narrate", "unfaithful")]


async def test_small_talk_that_was_sent_is_followed_by_the_template() -> None:
    given = await answer(replace(WHOLE, base=ScriptedModel(lambda _prompt: "What a day! Take [9].")))
    assert given.text
    assert given.text.startswith("What a day! Recommended for you: ")


async def test_korean_query_korean_template() -> None:
    given = await answer(replace(WHOLE, base=None), replace(ASKED, text="비 오는 날 재킷"))
    assert given.language == "ko"
    assert given.text
    assert given.text.startswith("추천 상품: ")


@pytest.mark.parametrize("embedder", [None, BrokenEmbedder()])
async def test_without_an_embedder_key_words_search(embedder: BrokenEmbedder | None) -> None:
    store = MemoryStore()
    given = await answer(replace(WHOLE, catalog=store, embedder=embedder))
    assert degraded(given) == [("retrieve", "no_embedder")]
    assert store.requests[0].text is None
    assert "jacket" in store.requests[0].keywords.split()


@pytest.mark.parametrize("call", ["user", "search"])
async def test_without_the_store_popular_items_come_from_memory(call: str) -> None:
    given = await answer(replace(WHOLE, catalog=MemoryStore([call])), replace(ASKED, mmr_lambda=1.0))
    assert degraded(given) == [("retrieve", "no_store")]
    assert {"J1", "J2"} <= set(ids(given))


async def test_a_store_that_goes_in_the_middle_leaves_what_retrieval_had_found() -> None:
    parts = replace(WHOLE, catalog=MemoryStore(["items"]), tuned=TunedModel(ranks("GHOST", "J2"), WordCounts()))
    given = await answer(parts, replace(ASKED, user_id=None))
    assert degraded(given) == [("verify", "no_store")]
    assert given.rejected == {Rejection.UNKNOWN: 1}
    assert len(ids(given)) == 3


async def test_with_neither_store_nor_memory_there_is_no_answer() -> None:
    with pytest.raises(NothingToRecommend):
        await answer(replace(WHOLE, catalog=MemoryStore(["user"]), snapshot=CatalogSnapshot()))


async def test_a_tokenizer_that_is_away_makes_the_prompt_an_estimate() -> None:
    given = await answer(replace(WHOLE, tuned=TunedModel(ranks("J2"), NoCounts())))
    assert degraded(given) == [("prompt", "estimated")]
    assert given.tokens.plain_prompt is None


async def test_no_narration_where_none_is_wanted() -> None:
    given = await answer(WHOLE, replace(ASKED, narrate=False))
    assert given.text is None
    assert "narrate" not in given.timings_ms


async def test_the_engine_gets_seed_and_sampling_and_zero_temperature_by_default() -> None:
    tuned = ranks("J2")
    await answer(replace(WHOLE, tuned=TunedModel(tuned, WordCounts())))
    sampling = Sampling(temperature=0.8, top_k=5, top_p=0.9, seed=11)
    await answer(replace(WHOLE, tuned=TunedModel(tuned, WordCounts())), replace(ASKED, sampling=sampling))
    first, second = tuned.calls
    assert (first.temperature, first.seed) == (0.0, 5)
    assert (second.temperature, second.top_k, second.top_p, second.seed) == (0.8, 5, 0.9, 11)


async def test_closing_the_answer_closes_the_stream_of_the_base_model() -> None:
    closed = asyncio.Event()

    class Endless(ScriptedModel):
        async def stream(self, call: ChatCall) -> AsyncGenerator[Part, None]:
            try:
                while True:
                    yield Part("Take [1]. ")
            finally:
                closed.set()

    parts = replace(WHOLE, base=Endless(lambda _prompt: ""))
    clock = asyncio.get_running_loop().time
    run = Pipeline(Recommendation(), lambda: parts, clock).run(ASKED, Deadline(clock() + 5, clock))
    assert isinstance(await anext(run), ItemsReady)
    assert isinstance(await anext(run), Delta)
    await run.aclose()
    assert closed.is_set()


async def timed(parts: Parts, query: Query = ASKED, seconds: float = 1) -> tuple[Answer, float]:
    clock = asyncio.get_running_loop().time
    began = clock()
    return await answer(parts, query, seconds), clock() - began


async def test_a_store_that_hangs_leaves_the_models_their_time() -> None:
    lost: list[str] = []
    parts = replace(WHOLE, catalog=HungStore(["search"]), on_store_lost=lost.append)
    given, seconds = await timed(parts)
    assert degraded(given) == [("retrieve", "timeout")]
    assert ids(given)
    assert 0.3 < seconds < 0.9
    assert lost == []


async def test_a_store_that_hangs_at_verification_is_waited_for_only_so_long() -> None:
    given, seconds = await timed(replace(WHOLE, catalog=HungStore(["items"])), replace(ASKED, user_id=None))
    assert degraded(given) == [("verify", "timeout")]
    assert seconds < 0.9


async def test_with_a_tokenizer_that_hangs_lengths_are_estimated_and_nothing_else_suffers() -> None:
    parts = replace(WHOLE, tuned=TunedModel(ranks("J2", "J1"), HungCounts("of", "of_whole")))
    given, seconds = await timed(parts)
    assert degraded(given) == [("prompt", "estimated")]
    assert given.items[0].verified.confirmed_by[0] == "tuned"
    assert given.tokens.plain_prompt is None
    assert seconds < 0.5


async def test_the_count_of_the_plain_prompt_delays_no_answer() -> None:
    given, seconds = await timed(replace(WHOLE, tuned=TunedModel(ranks("J2"), HungCounts("of_whole"))), seconds=20)
    assert degraded(given) == []
    assert (given.tokens.plain_prompt, given.tokens.saved) == (None, None)
    assert seconds < 1


async def test_everything_that_hangs_at_once_is_still_an_answer_in_time() -> None:
    parts = Parts(
        HungStore(["search", "items"]),
        MEMORY,
        WordEmbedder(),
        TunedModel(SilentModel(lambda _prompt: ""), HungCounts("of", "of_whole")),
        SilentModel(lambda _prompt: ""),
    )
    given, seconds = await timed(parts)
    assert degraded(given) == [
        ("retrieve", "timeout"),
        ("prompt", "estimated"),
        ("rank", "timeout"),
        ("narrate", "timeout"),
    ]
    assert given.text
    assert seconds < 1.2


async def test_a_request_that_finds_the_store_away_says_so_to_the_keeper() -> None:
    lost: list[str] = []
    await answer(replace(WHOLE, catalog=MemoryStore(["search"]), on_store_lost=lost.append))
    assert lost == ["gone"]


async def test_a_search_that_is_refused_is_not_called_an_outage() -> None:
    class Refusing(MemoryStore):
        async def search(self, request: SearchRequest) -> list[Hit]:
            raise StoreRefused("refused (6)")

    lost: list[str] = []
    given = await answer(replace(WHOLE, catalog=Refusing(), on_store_lost=lost.append))
    assert degraded(given) == [("retrieve", "refused")]
    assert ids(given)
    assert lost == []


async def test_by_item_tokens_a_product_without_one_comes_in_through_retrieval_and_is_counted() -> None:
    tuned = TunedModel(Chooser("<L1>", "<J1>", "<C1>"), NewItem())
    given = await answer(replace(WHOLE, tuned=tuned), replace(ASKED, mode=RankingMode.ITEM_TOKENS, user_id=None))
    assert degraded(given) == []
    assert given.explanation.without_token == 1
    by_id = {each.verified.item.id: each.verified for each in given.items}
    assert "tuned" in by_id["J1"].confirmed_by
    assert "tuned" not in by_id["J2"].confirmed_by
    assert given.tokens.rank == Usage(40, 1)


async def test_without_words_an_item_that_retrieval_did_not_find_can_be_named() -> None:
    tuned = TunedModel(Chooser("<C2>", "<GHOST>", "<C1>", "<T1>", "<J1>"), WordCounts())
    given = await answer(replace(WHOLE, tuned=tuned), replace(ASKED, text="", mode=RankingMode.ITEM_TOKENS))
    assert given.rejected == {Rejection.OUT_OF_STOCK: 1, Rejection.UNKNOWN: 1}, "what was seen had no chance at all"
    assert "C1" in ids(given)


async def test_by_letters_the_order_of_the_candidates_is_another_with_each_seed() -> None:
    """The model always says A: which item that speaks for is the seed's doing."""
    scores = set()
    for seed in range(6):
        asked = replace(ASKED, mode=RankingMode.VERBALIZER, sampling=Sampling(seed=seed))
        given = await answer(replace(WHOLE, tuned=TunedModel(Chooser("A", "the"), WordCounts())), asked)
        assert all("tuned" in each.verified.confirmed_by for each in given.items)
        scores.add(tuple(sorted((each.verified.item.id, each.verified.score) for each in given.items)))
    assert len(scores) > 1


async def test_where_no_token_can_be_counted_all_items_are_taken_to_have_one() -> None:
    tuned = TunedModel(Chooser("<J1>", "<J2>"), NoCounts())
    given = await answer(replace(WHOLE, tuned=tuned), replace(ASKED, mode=RankingMode.ITEM_TOKENS))
    assert degraded(given) == [("prompt", "estimated")]
    assert given.explanation.without_token == 0
