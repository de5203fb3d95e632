"""Situations as what the model reads: the gateway's own prompt, the answer, and the chances at each place of the list.

Pure but for the tokenizer. The prompt comes from ``recsys_gateway.recommend.prompt``, so that training and serving
cannot drift apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.prompt import RankPromptBuilder, TokenCounter, item_token
from recsys_gateway.recommend.stages import Candidate, Query, Retrieval, Sampling
from tokenizers import Tokenizer

from recsys_finetune.language_model.tokenizer import BOS, EOS, Example, chat_example, token_id
from recsys_finetune.ranking.situations import Situation

LIST_LENGTH = 10


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """At ``position`` of the ids an item is said: one of ``tokens`` with chances ``weights`` (sum one)."""

    position: int
    tokens: NDArray[np.int64]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RankExample:
    """``ids`` of prompt and answer, ``prompt_length`` of them the prompt; ``choices`` in the order of the list."""

    ids: tuple[int, ...]
    prompt_length: int
    choices: tuple[Choice, ...]


def rank_prompt_builder(
    user: User | None, history: Sequence[Item], request: str, candidates: Sequence[Item], budget: int
) -> RankPromptBuilder:
    """What the gateway would ask the tuned model here, at temperature 0, within ``budget`` tokens."""
    query = Query(
        text=request,
        user_id=user.id if user else None,
        size=LIST_LENGTH,
        mode=RankingMode.TOOL_CALL,
        sampling=Sampling(),
        mmr_lambda=1.0,
        target_ild=None,
        language=None,
        exclude_seen=True,
        narrate=False,
    )
    retrieval = Retrieval(
        candidates=tuple(Candidate(item, 1.0, {}) for item in candidates), user=user, history=tuple(history)
    )
    return RankPromptBuilder(query, extract(request), retrieval, len(candidates), max(1, len(history)), budget)


def answer(tokens: Sequence[str]) -> str:
    """The tool call's arguments, as the model is to write them."""
    return json.dumps({"items": list(tokens)}, ensure_ascii=False)


def bare(item: Item) -> Item:
    """The item without its texts: what is left is its token."""
    return replace(item, title="", description="", categories=(), price=None, attributes={})


@dataclass(frozen=True, slots=True, eq=False)
class ExampleWriter:
    """Writes the examples of one catalogue. ``token_ids`` maps the row of an item to the id of its token."""

    tokenizer: Tokenizer
    items: tuple[Item, ...]
    bare_items: tuple[Item, ...]
    users: Mapping[str, User]
    token_ids: NDArray[np.int64]
    marks: tuple[int, int, int, int]
    count: TokenCounter

    @classmethod
    def of(cls, tokenizer: Tokenizer, items: tuple[Item, ...], users: Mapping[str, User]) -> ExampleWriter:
        ids = np.array([token_id(tokenizer, item_token(item.id)) for item in items], dtype=np.int64)
        begin, candidates, answer_begins, end = (
            token_id(tokenizer, mark) for mark in (BOS, "<|user|>", "<|assistant|>", EOS)
        )
        marks = (begin, candidates, answer_begins, end)
        return cls(tokenizer, items, tuple(map(bare, items)), users, ids, marks, token_counter(tokenizer))

    def write(self, situation: Situation, order: Sequence[int], budget: int, *, with_texts: bool) -> RankExample:
        """The example whose answer lists the candidates in ``order`` (places, best first)."""
        items = self.items if with_texts else self.bare_items
        user = self.users.get(situation.user) if situation.user else None
        shown = [items[row] for row in situation.candidates]
        history = [items[row] for row in situation.history]
        prompt = rank_prompt_builder(user, history, situation.request, shown, budget).build(self.count)
        places = [place for place in order if place < len(prompt.tokens)][:LIST_LENGTH]
        text = answer([item_token(shown[place].id) for place in places])
        example = chat_example(self.tokenizer, prompt.messages, text)
        return self._with_choices(example, situation, places, len(prompt.tokens))

    def write_compact(self, situation: Situation, order: Sequence[int]) -> RankExample:
        """The same without any text: item tokens of history, candidates and list, a special token between them."""
        history, candidates = self.token_ids[situation.history], self.token_ids[situation.candidates]
        places = list(order)[:LIST_LENGTH]
        begin, candidates_begin, answer_begins, end = self.marks
        prompt = (begin, *history.tolist(), candidates_begin, *candidates.tolist(), answer_begins)
        example = Example((*prompt, *candidates[places].tolist(), end), len(prompt))
        return self._with_choices(example, situation, places, len(candidates))

    def _with_choices(self, example: Example, situation: Situation, places: Sequence[int], shown: int) -> RankExample:
        """What was said already has no chance any more: so the model learns not to say it twice."""
        said = self.token_ids[situation.candidates[:shown]]
        weights = situation.likelihood[:shown].astype(np.float32)
        choices, position = [], example.prompt_length
        for place in places:
            position = example.ids.index(int(said[place]), position)
            choices.append(Choice(position, said, weights / weights.sum()))
            weights = weights.copy()
            weights[place] = 0.0
            if not weights.any():
                break
        return RankExample(example.ids, example.prompt_length, tuple(choices))


def token_counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """Tokens of a text; remembered, since titles come again and again."""

    @lru_cache(maxsize=50_000)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
