"""Verbalizer and ItemTokens: log-probabilities as lists; and which engine can do which mode."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced

import pytest
from recsys_gateway.config import EngineType, RankingMode, Recommendation, ServedModel
from recsys_gateway.engines.dialect import ChoiceCall
from recsys_gateway.engines.ranking_modes import alternatives_of, engine_arguments, refusal
from recsys_gateway.recommend.item_tokens import ItemTokens, read_items
from recsys_gateway.recommend.rank import RankFailed
from recsys_gateway.recommend.stages import Ask, Message, Query, RankPrompt, Sampling
from recsys_gateway.recommend.verbalizer import Verbalizer, mean_scores, read_letters
from recsys_gateway.serving.completions import Completion, FirstToken, TokenUsage
from recsys_gateway.serving.failures import UpstreamOverloaded

QUERY = Query("", None, 3, RankingMode.ITEM_TOKENS, Sampling(), 0.7, None, None, True, True)


def first(chances: Mapping[str, float], usage: TokenUsage = TokenUsage(50, 1)) -> FirstToken:  # noqa: B008  frozen
    told = sorted(chances.items(), key=lambda each: -each[1])
    return FirstToken(tuple((token, math.log(chance)) for token, chance in told), usage)


@dataclass
class Chooser:
    """Answers by ``say``, a function of the last message."""

    say: Callable[[str], FirstToken]
    alternatives: int | None = None
    calls: list[ChoiceCall] = field(default_factory=list)

    async def chat(self, call: object) -> Completion:
        raise AssertionError("these modes take one forward pass, and no answer")

    async def choose(self, call: ChoiceCall) -> FirstToken:
        self.calls.append(call)
        await asyncio.sleep(0)
        return self.say(call.messages[-1][1])


def prompt_of(*orders: str) -> RankPrompt:
    """Verbalizer's prompts; ``orders`` are the items in the order of their letters, and also the prompt's text."""
    asks = [Ask((Message("user", order),), dict(zip("ABCDEFGH", order, strict=False))) for order in orders]
    return RankPrompt(asks[0].messages, (), asks[0].tokens, 0, reordered=tuple(asks[1:]))


async def test_letters_are_scores() -> None:
    model = Chooser(lambda _: first({"B": 0.6, "A": 0.3, "C": 0.1}))
    ranking = await Verbalizer(model).rank(prompt_of("xyz"), QUERY)
    assert [(each.item_id, round(each.score, 6)) for each in ranking.items] == [("y", 0.6), ("x", 0.3), ("z", 0.1)]
    assert (ranking.usage.prompt, ranking.usage.completion) == (50, 1)


async def test_a_leaning_to_the_first_letter_is_taken_out_by_several_orders() -> None:
    """The model likes z a little and the letter A a lot."""

    def leaning(order: str) -> FirstToken:
        weights = {
            letter: (3.0 if letter == "A" else 1.0) * (1.3 if item == "z" else 1.0)
            for letter, item in zip("ABC", order, strict=True)
        }
        return first({letter: weight / sum(weights.values()) for letter, weight in weights.items()})

    one = await Verbalizer(Chooser(leaning)).rank(prompt_of("xyz"), QUERY)
    assert one.items[0].item_id == "x"
    model = Chooser(leaning)
    three = await Verbalizer(model).rank(prompt_of("xyz", "yzx", "zxy"), QUERY)
    assert three.items[0].item_id == "z"
    assert len(model.calls) == 3
    assert three.usage.prompt == 150


def test_white_space_around_a_letter_does_not_count_and_both_ways_of_saying_it_do() -> None:
    ask = Ask((), {"A": "x", "B": "y"})
    scores = read_letters(ask, first({" A": 0.3, "A": 0.3, "B": 0.4}))
    assert math.exp(scores["x"]) == pytest.approx(0.6)
    assert math.exp(scores["y"]) == pytest.approx(0.4)


def test_a_letter_that_is_not_told_is_at_most_as_likely_as_the_least_that_is() -> None:
    scores = read_letters(Ask((), {"A": "x", "B": "y", "C": "z"}), first({"A": 0.7, "the": 0.2, "B": 0.1}))
    assert scores["z"] == scores["y"] < scores["x"]


def test_a_mean_over_orders_is_a_distribution() -> None:
    mean = mean_scores([{"x": math.log(0.9), "y": math.log(0.1)}, {"x": math.log(0.1), "y": math.log(0.9)}])
    assert mean == {"x": pytest.approx(math.log(0.5)), "y": pytest.approx(math.log(0.5))}


@pytest.mark.parametrize(("most", "asked"), [(None, 15), (20, 15), (5, 5)])
async def test_no_more_alternatives_are_asked_for_than_the_engine_tells(most: int | None, asked: int) -> None:
    model = Chooser(lambda _: first({"A": 1.0}), most)
    await Verbalizer(model).rank(prompt_of("xyz"), QUERY)
    assert model.calls[0].alternatives == asked


@pytest.mark.parametrize("ranker", [Verbalizer, ItemTokens])
async def test_an_answer_about_something_else_is_no_list(ranker: type) -> None:
    with pytest.raises(RankFailed):
        await ranker(Chooser(lambda _: first({"I": 0.5, "Sure": 0.5}))).rank(prompt_of("xyz"), QUERY)


async def test_when_one_order_fails_the_others_are_given_up() -> None:
    def overloaded(_: str) -> FirstToken:
        raise UpstreamOverloaded("full")

    with pytest.raises(UpstreamOverloaded):
        await Verbalizer(Chooser(overloaded)).rank(prompt_of("xyz", "yzx"), QUERY)


ITEMS = RankPrompt((Message("user", ""),), (), {"<a>": "a", "<b>": "b"}, 0, open=True)
TOLD = first({"<c>": 0.4, "<a>": 0.3, "{": 0.1, "<|eos|>": 0.1, "<b>": 0.1})


async def test_any_item_of_the_vocabulary_can_be_named_and_nothing_else() -> None:
    ranking = await ItemTokens(Chooser(lambda _: TOLD)).rank(ITEMS, QUERY)
    assert [(each.item_id, round(each.score, 6)) for each in ranking.items] == [("c", 0.5), ("a", 0.375), ("b", 0.125)]


def test_a_closed_prompt_holds_it_to_the_candidates() -> None:
    assert set(read_items(replaced(ITEMS, open=False), TOLD)) == {"a", "b"}


def test_what_was_seen_has_no_chance() -> None:
    assert set(read_items(replaced(ITEMS, excluded=frozenset({"c"})), TOLD)) == {"a", "b"}


async def test_the_nameless_are_handed_on() -> None:
    prompt = replaced(ITEMS, nameless=frozenset({"new"}))
    assert (await ItemTokens(Chooser(lambda _: TOLD)).rank(prompt, QUERY)).nameless == {"new"}


async def test_temperature_draws_other_lists_by_the_seed_and_none_has_doubles() -> None:
    async def drawn(seed: int) -> tuple[str, ...]:
        query = replaced(QUERY, sampling=Sampling(temperature=1.0, seed=seed))
        ranking = await ItemTokens(Chooser(lambda _: TOLD)).rank(ITEMS, query)
        return tuple(each.item_id for each in ranking.items)

    lists = [await drawn(seed) for seed in range(40)]
    assert lists == [await drawn(seed) for seed in range(40)]
    assert len(set(lists)) > 3
    assert all(len(set(each)) == len(each) for each in lists)


def served(engine: EngineType, log_probabilities: int | None = None) -> ServedModel:
    pool = {"name": "a", "endpoints": [{"url": "http://127.0.0.1:9"}]}
    given = {"name": "tuned", "role": "tuned", "engine": engine, "pools": [pool], "logProbabilities": log_probabilities}
    return ServedModel.model_validate(given)


CAN = {
    EngineType.TGI: {RankingMode.TOOL_CALL},
    EngineType.VLLM: {RankingMode.TOOL_CALL, RankingMode.VERBALIZER},
    EngineType.SGLANG: set(RankingMode),
    EngineType.LLAMA_CPP: set(RankingMode),
    EngineType.OLLAMA: {RankingMode.TOOL_CALL, RankingMode.VERBALIZER},
    EngineType.OPENAI: {RankingMode.TOOL_CALL, RankingMode.VERBALIZER},
}


@pytest.mark.parametrize("engine", list(EngineType))
@pytest.mark.parametrize("mode", list(RankingMode))
def test_what_an_engine_can_do_as_it_is_started_without_flags(engine: EngineType, mode: RankingMode) -> None:
    assert (refusal(mode, served(engine), Recommendation()) is None) == (mode in CAN[engine])


@pytest.mark.parametrize("engine", [EngineType.TGI, EngineType.VLLM])
@pytest.mark.parametrize("mode", list(RankingMode))
def test_with_its_flag_an_engine_can_do_every_mode(engine: EngineType, mode: RankingMode) -> None:
    _, told = engine_arguments(engine)
    assert refusal(mode, served(engine, int(told)), Recommendation(candidates=52, size=100)) is None


def test_a_refusal_says_what_to_do() -> None:
    said = refusal(RankingMode.VERBALIZER, served(EngineType.TGI), Recommendation())
    assert said == (
        "Verbalizer needs the log-probabilities of 20 tokens, and TGI tells 5 of the model tuned: "
        "start the engine with --max-top-n-tokens 20 and say logProbabilities: 20 of the model tuned"
    )
    said = refusal(RankingMode.VERBALIZER, served(EngineType.OPENAI), Recommendation(candidates=30))
    assert said is not None
    assert said.endswith("set recommendation.candidates to 20 or fewer, or choose the mode ToolCall")
    said = refusal(RankingMode.ITEM_TOKENS, served(EngineType.OLLAMA), Recommendation())
    assert said is not None
    assert said.endswith("choose the mode ToolCall, or an engine that tells more")


def test_the_configuration_knows_better_than_the_table() -> None:
    assert alternatives_of(served(EngineType.VLLM)) == 20
    assert alternatives_of(served(EngineType.VLLM, 500)) == 500
    assert alternatives_of(served(EngineType.LLAMA_CPP)) is None
