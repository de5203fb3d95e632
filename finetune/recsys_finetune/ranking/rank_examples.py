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
from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.letter_prompt import LETTERS, lettered, shuffled_orders
from recsys_gateway.recommend.modes import prompt_builder
from recsys_gateway.recommend.prompt import RankPromptBuilder, TokenCounter, item_token
from recsys_gateway.recommend.stages import Candidate, Query, RankPrompt, Retrieval, Sampling
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
class Pointed:
    """What the letters of an example stand for, in their order: ``items``, and their ``places`` in the ids."""

    places: NDArray[np.int64]
    items: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RankExample:
    """``ids`` of prompt and answer, ``prompt_length`` of them the prompt; ``choices`` in the order of the list.

    ``pointed`` is there where the choices are letters."""

    ids: tuple[int, ...]
    prompt_length: int
    choices: tuple[Choice, ...]
    pointed: Pointed | None = None


def rank_prompt_builder(
    user: User | None,
    history: Sequence[Item],
    request: str,
    candidates: Sequence[Item],
    budget: int,
    mode: RankingMode = RankingMode.TOOL_CALL,
    seed: int = 0,
) -> RankPromptBuilder:
    """What the gateway would ask the tuned model here, at temperature 0, within ``budget`` tokens."""
    query = Query(
        text=request,
        user_id=user.id if user else None,
        size=LIST_LENGTH,
        mode=mode,
        sampling=Sampling(seed=seed),
        mmr_lambda=1.0,
        target_ild=None,
        language=None,
        exclude_seen=True,
        narrate=False,
    )
    retrieval = Retrieval(
        candidates=tuple(Candidate(item, 1.0, {}) for item in candidates), user=user, history=tuple(history)
    )
    settings = Recommendation.model_construct(
        candidates=len(candidates), history_length=max(1, len(history)), prompt_tokens=budget
    )
    return prompt_builder(query, extract(request), retrieval, settings)


def answer(tokens: Sequence[str]) -> str:
    """The tool call's arguments, as the model is to write them."""
    return json.dumps({"items": list(tokens)}, ensure_ascii=False)


def bare(item: Item) -> Item:
    """The item without its texts: what is left is its token."""
    return replace(item, title="", description="", categories=(), price=None, attributes={})


@dataclass(frozen=True, slots=True, eq=False)
class ExampleWriter:
    """Writes the examples of one catalogue. ``token_ids`` maps the row of an item to the id of its token.

    ``letters`` are the ids of what stands before the candidates of Verbalizer; the first of each is the letter's own.
    """

    tokenizer: Tokenizer
    items: tuple[Item, ...]
    bare_items: tuple[Item, ...]
    users: Mapping[str, User]
    token_ids: NDArray[np.int64]
    marks: tuple[int, int, int, int]
    letters: tuple[tuple[int, ...], ...]
    count: TokenCounter

    @classmethod
    def of(cls, tokenizer: Tokenizer, items: tuple[Item, ...], users: Mapping[str, User]) -> ExampleWriter:
        ids = np.array([token_id(tokenizer, item_token(item.id)) for item in items], dtype=np.int64)
        begin, candidates, answer_begins, end = (
            token_id(tokenizer, mark) for mark in (BOS, "<|user|>", "<|assistant|>", EOS)
        )
        marks = (begin, candidates, answer_begins, end)
        letters = tuple(tuple(tokenizer.encode(lettered(each, ""), add_special_tokens=False).ids) for each in LETTERS)
        return cls(tokenizer, items, tuple(map(bare, items)), users, ids, marks, letters, token_counter(tokenizer))

    def write(self, situation: Situation, order: Sequence[int], budget: int, *, with_texts: bool) -> RankExample:
        """The example whose answer lists the candidates in ``order`` (places, best first)."""
        shown, prompt = self._prompt(situation, budget, RankingMode.TOOL_CALL, with_texts=with_texts)
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

    def write_letter(self, situation: Situation, budget: int, seed: int, *, with_texts: bool) -> RankExample:
        """The example of Verbalizer; ``seed`` shuffles the candidates. The letters of the best follow the first one."""
        shown, prompt = self._prompt(situation, budget, RankingMode.VERBALIZER, with_texts=with_texts, seed=seed)
        places = {item.id: place for place, item in enumerate(shown)}
        order = [places[item] for item in prompt.tokens.values()]
        return self._lettered(self._prompt_ids(prompt), situation, order)

    def write_compact_letter(self, situation: Situation, seed: int) -> RankExample:
        """The same without any text: item tokens of the history, and of the candidates with their letters."""
        begin, candidates_begin, answer_begins, _ = self.marks
        order = shuffled_orders(len(situation.candidates), 1, seed)[0]
        prompt = [begin, *self.token_ids[situation.history].tolist(), candidates_begin]
        for mark, row in zip(self.letters, situation.candidates[order], strict=False):
            prompt += [*mark, int(self.token_ids[row])]
        return self._lettered([*prompt, answer_begins], situation, order)

    def write_item(self, situation: Situation, budget: int) -> RankExample:
        """The example of ItemTokens: any item of the catalogue may come next; the likeliest follow the first one."""
        _, prompt = self._prompt(situation, budget, RankingMode.ITEM_TOKENS, with_texts=False)
        return self._listed(self._prompt_ids(prompt), self.token_ids, situation.of_all)

    def _prompt_ids(self, prompt: RankPrompt) -> list[int]:
        example = chat_example(self.tokenizer, prompt.messages, "")
        return list(example.ids[: example.prompt_length])

    def _lettered(self, prompt: list[int], situation: Situation, order: Sequence[int]) -> RankExample:
        letters = np.array([mark[0] for mark in self.letters[: len(order)]], dtype=np.int64)
        items = self.token_ids[situation.candidates[order]]
        example = self._listed(prompt, letters, situation.unplaced[order])
        return replace(example, pointed=Pointed(last_places(prompt, items.tolist()), items))

    def _listed(self, prompt: list[int], tokens: NDArray[np.int64], weights: NDArray[np.float64]) -> RankExample:
        """After ``prompt`` the likeliest of ``tokens``, best first; what was said has no chance any more.

        Only the first one is asked for when the model serves. The others give an example ten times as much to learn.
        """
        said = np.argsort(-weights, kind="stable")[: min(LIST_LENGTH, np.count_nonzero(weights))]
        left, choices = weights.astype(np.float64), []
        for number, place in enumerate(said):
            choices.append(Choice(len(prompt) + number, tokens, (left / left.sum()).astype(np.float32)))
            left = left.copy()
            left[place] = 0.0
            if not left.any():
                break
        answer = tokens[said[: len(choices)]].tolist()
        return RankExample((*prompt, *answer, self.marks[3]), len(prompt), tuple(choices))

    def _prompt(
        self, situation: Situation, budget: int, mode: RankingMode, *, with_texts: bool, seed: int = 0
    ) -> tuple[list[Item], RankPrompt]:
        """The candidates in their order, and what the gateway would write."""
        items = self.items if with_texts else self.bare_items
        user = self.users.get(situation.user) if situation.user else None
        shown = [items[row] for row in situation.candidates]
        history = [items[row] for row in situation.history]
        builder = rank_prompt_builder(user, history, situation.request, shown, budget, mode, seed)
        return shown, builder.build(self.count)

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


def last_places(ids: Sequence[int], wanted: Sequence[int]) -> NDArray[np.int64]:
    """The places of ``wanted`` in ``ids``, where they stand last in this order."""
    places, end = [], len(ids)
    for token in reversed(wanted):
        end = max(place for place in range(end) if ids[place] == token)
        places.append(end)
    return np.array(places[::-1], dtype=np.int64)


def token_counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """Tokens of a text; remembered, since titles come again and again."""

    @lru_cache(maxsize=50_000)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
