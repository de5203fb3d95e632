"""The prompts of Verbalizer and ItemTokens: within the budget, shuffled by the seed, one token an item."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.filters import ITEM_FIELDS, NO_FILTERS, Filters, parse_filters
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.letter_prompt import LETTERS, shuffled_orders
from recsys_gateway.recommend.modes import prompt_builder
from recsys_gateway.recommend.prompt import TEMPLATE_TOKENS, RankPromptBuilder, item_id, item_token
from recsys_gateway.recommend.stages import Candidate, Query, RankPrompt, Retrieval, Sampling

VOCABULARY = [f"<I-{n}>" for n in range(100)]
SETTINGS = Recommendation()


def tokens(text: str) -> int:
    """Words, signs and line breaks; an item that is in the vocabulary is one token, another one is spelt."""
    parts = re.findall(r"<I-\d+>|\w+|\n|[^\w\s]", text)
    return sum(1 if part in VOCABULARY or not part.startswith("<") else len(part) for part in parts)


def builder(
    mode: RankingMode,
    *,
    text: str = "a light jacket",
    history: int = 5,
    candidates: int = 20,
    new: int = 0,
    budget: int = 5_000,
    shuffles: int = 1,
    seed: int = 3,
    filters: Filters = NO_FILTERS,
) -> RankPromptBuilder:
    """Items 0 to 69 are candidates, then history; the last ``new`` candidates have no token."""
    items = [Item(f"I-{n}", f"title {n} word", categories=("One",), price=9.5) for n in range(100)]
    shown = [*items[: candidates - new], *(replace(item, id=f"I-9{item.id[2:]}99") for item in items[:new])]
    query = Query(text, None, 10, mode, Sampling(seed=seed), 0.7, None, None, True, True, filters)
    past = tuple(items[len(items) - history :])
    retrieval = Retrieval(
        tuple(Candidate(item, 1.0, {}) for item in shown),
        User("u", {"age": 30}),
        past,
        seen=frozenset(item.id for item in past),
    )
    settings = SETTINGS.model_copy(
        update={"candidates": 100, "history_length": 10, "prompt_tokens": budget, "shuffles": shuffles}
    )
    return prompt_builder(query, extract(text), retrieval, settings)


def counted(build: RankPromptBuilder) -> RankPrompt:
    """The prompt, and that ``pieces`` had named all that was counted for it."""
    asked: set[str] = set()

    def count(text: str) -> int:
        asked.add(text)
        return tokens(text)

    prompt = build.build(count)
    assert asked <= set(build.pieces())
    return prompt


def sent(messages: object) -> int:
    return sum(tokens(message.content) for message in messages)  # type: ignore[attr-defined]  # a Message


@given(st.text(max_size=30))
def test_an_item_token_leads_back_to_its_id(text: str) -> None:
    if text and not text.startswith("|"):
        assert item_id(item_token(text)) == text


@pytest.mark.parametrize("token", ["", "<", "<>", "A", " <I-1>", "<I-1> ", "<|eos|>", "<a%2>b>", "<%41;>", '{"'])
def test_what_is_no_item_token_leads_nowhere(token: str) -> None:
    assert item_id(token) is None


@given(history=st.integers(0, 10), candidates=st.integers(1, 60), budget=st.integers(200, 900))
def test_letters_stay_within_the_budget(history: int, candidates: int, budget: int) -> None:
    prompt = counted(builder(RankingMode.VERBALIZER, history=history, candidates=candidates, budget=budget, shuffles=3))
    for ask in prompt.asks:
        assert sent(ask.messages) <= budget - TEMPLATE_TOKENS
        assert list(ask.tokens) == list(LETTERS[: len(ask.tokens)])
        lines = dict(re.findall(r"^(\w)\) (<\S+>)", ask.messages[1].content, re.MULTILINE))
        assert {letter: item_id(token) for letter, token in lines.items()} == ask.tokens
    assert len({frozenset(ask.tokens.values()) for ask in prompt.asks}) == 1
    assert 1 <= len(prompt.tokens) <= min(candidates, len(LETTERS))


def test_the_seed_shuffles_the_candidates_and_each_order_is_another() -> None:
    orders = shuffled_orders(20, 4, seed=7)
    assert orders == shuffled_orders(20, 4, seed=7)
    assert orders[:2] == shuffled_orders(20, 2, seed=7)
    assert shuffled_orders(20, 1, seed=8) != orders[:1]
    assert all(sorted(order) == list(range(20)) for order in orders)
    asks = counted(builder(RankingMode.VERBALIZER, shuffles=4)).asks
    assert len({tuple(ask.tokens.values()) for ask in asks}) == 4


def test_every_place_is_as_likely_for_every_candidate() -> None:
    first = [shuffled_orders(5, 1, seed)[0][0] for seed in range(2_000)]
    assert all(first.count(place) == pytest.approx(400, abs=90) for place in range(5))


def test_letters_spell_no_token_that_the_model_does_not_have() -> None:
    prompt = counted(builder(RankingMode.VERBALIZER, candidates=4, new=1))
    assert "<I-9099>" not in prompt.messages[1].content
    assert set(prompt.tokens.values()) == {"I-0", "I-1", "I-2", "I-9099"}
    without = builder(RankingMode.VERBALIZER, candidates=4).build(tokens, exact=False)
    assert "<" not in without.messages[1].content


def test_history_and_candidates_cost_one_token_each() -> None:
    some = sent(counted(builder(RankingMode.ITEM_TOKENS, history=5, candidates=20)).messages)
    more = sent(counted(builder(RankingMode.ITEM_TOKENS, history=9, candidates=50)).messages)
    assert more - some == 4 + 30
    assert some <= 0.25 * sent(counted(builder(RankingMode.ITEM_TOKENS)).plain)


@given(history=st.integers(0, 10), candidates=st.integers(1, 100), budget=st.integers(64, 300))
def test_item_tokens_stay_within_the_budget(history: int, candidates: int, budget: int) -> None:
    prompt = counted(builder(RankingMode.ITEM_TOKENS, history=history, candidates=candidates, budget=budget))
    kept = prompt.messages[1].content.count("<")
    assert kept + prompt.left_out == history + candidates
    assert sent(prompt.messages) <= budget - TEMPLATE_TOKENS or kept <= 4


def test_what_has_no_token_is_left_out_and_told() -> None:
    prompt = counted(builder(RankingMode.ITEM_TOKENS, candidates=10, new=3))
    assert prompt.nameless == {"I-9099", "I-9199", "I-9299"}
    assert set(prompt.tokens) == {f"<I-{n}>" for n in range(7)}
    assert all(item not in prompt.messages[1].content for item in prompt.nameless)


def test_an_estimate_cannot_tell_so_all_are_taken_to_have_one() -> None:
    prompt = builder(RankingMode.ITEM_TOKENS, candidates=10, new=3).build(tokens, exact=False)
    assert prompt.nameless == frozenset()
    assert len(prompt.tokens) == 10


@pytest.mark.parametrize(
    ("text", "filters", "is_open"), [("", {}, True), ("  ", {}, True), ("tent", {}, False), ("", {"price": 5}, False)]
)
def test_words_and_filters_hold_the_model_to_the_candidates(
    text: str, filters: dict[str, object], is_open: bool
) -> None:
    prompt = counted(builder(RankingMode.ITEM_TOKENS, text=text, filters=parse_filters(filters, ITEM_FIELDS)))
    assert prompt.open is is_open
    assert prompt.excluded == {f"I-{n}" for n in range(95, 100)}
