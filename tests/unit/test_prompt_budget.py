"""The ranking prompt stays within its budget, whatever is in it; what was left out is counted."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.prompt import TEMPLATE_TOKENS, RankPromptBuilder
from recsys_gateway.recommend.stages import Candidate, Query, Retrieval, Sampling


def tokens(text: str) -> int:
    """Words, signs and line breaks: additive over pieces, as tokenizers nearly are."""
    return len(re.findall(r"<[^<>\s]+>|\w+|\n|[^\w\s]", text))


def builder(words: int, history: int, candidates: int, budget: int) -> RankPromptBuilder:
    items = [Item(f"I-{n}", f"title {n} " + "word " * words, categories=("One",), price=9.5) for n in range(30)]
    query = Query("a light jacket", None, 10, RankingMode.TOOL_CALL, Sampling(), 0.7, None, None, True, True)
    found = tuple(Candidate(item, 1.0, {}) for item in items[:candidates])
    retrieval = Retrieval(found, User("u", {"age": 30}), tuple(items[-history:] if history else ()))
    return RankPromptBuilder(query, extract(query.text), retrieval, 20, 10, budget)


def sent(prompt: object) -> int:
    return sum(tokens(message.content) for message in prompt.messages)  # type: ignore[attr-defined]  # a Message


@given(
    words=st.integers(0, 12), history=st.integers(0, 10), candidates=st.integers(1, 25), budget=st.integers(250, 900)
)
def test_the_budget_holds(words: int, history: int, candidates: int, budget: int) -> None:
    build = builder(words, history, candidates, budget)
    asked: set[str] = set()

    def count(text: str) -> int:
        asked.add(text)
        return tokens(text)

    prompt = build.build(count)
    assert asked <= set(build.pieces())
    assert sent(prompt) <= budget - TEMPLATE_TOKENS
    assert 1 <= len(prompt.tokens) <= min(20, candidates)
    assert all(token in prompt.messages[1].content for token in prompt.tokens)


def test_with_room_enough_nothing_is_left_out() -> None:
    prompt = builder(3, 5, 20, 5_000).build(tokens)
    assert prompt.left_out == 0
    assert len(prompt.tokens) == 20


def test_details_go_before_history_and_history_before_candidates() -> None:
    whole = sent(builder(3, 10, 20, 5_000).build(tokens))
    little = builder(3, 10, 20, whole - 10).build(tokens)
    assert "One" in little.messages[1].content
    assert (len(little.tokens), little.left_out > 0) == (20, True)
    least = builder(3, 10, 20, 120).build(tokens)
    assert "One" not in least.messages[1].content
    assert len(least.tokens) < 20
