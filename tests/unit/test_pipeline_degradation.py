"""How an answer degrades, stage by stage: where a part is missing, broken, or hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pipeline_parts import (
    ASKED,
    MEMORY,
    WHOLE,
    BrokenEmbedder,
    HungCounts,
    HungStore,
    MemoryStore,
    NoCounts,
    ScriptedModel,
    SilentModel,
    WordCounts,
    WordEmbedder,
    answer,
    degraded,
    ids,
    ranks,
    timed,
)
from recsys_gateway.catalog.failures import StoreRefused
from recsys_gateway.catalog.searching import Hit, SearchRequest
from recsys_gateway.recommend.pipeline import NothingToRecommend, Parts, TunedModel
from recsys_gateway.recommend.snapshot import CatalogSnapshot
from recsys_gateway.recommend.stages import Rejection
from recsys_gateway.serving.failures import UpstreamOverloaded, UpstreamUnavailable


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
