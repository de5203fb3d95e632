"""The pipeline with a store and models in memory: what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from pipeline_parts import (
    ASKED,
    WHOLE,
    Chooser,
    MemoryStore,
    NewItem,
    NoCounts,
    ScriptedModel,
    WordCounts,
    answer,
    degraded,
    events,
    ids,
    ranks,
)
from recsys_gateway.catalog.filters import ITEM_FIELDS, parse_filters
from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.engines.dialect import ChatCall
from recsys_gateway.recommend.answer import Answer, Delta, ItemsReady
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.pipeline import Pipeline, TunedModel
from recsys_gateway.recommend.stages import Rejection, Sampling, Usage
from recsys_gateway.serving.completions import Part


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


async def test_korean_query_korean_template() -> None:
    given = await answer(replace(WHOLE, base=None), replace(ASKED, text="비 오는 날 재킷"))
    assert given.language == "ko"
    assert given.text
    assert given.text.startswith("추천 상품: ")


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
