"""The prompt of Verbalizer (LlamaRec): candidates lettered in a shuffled order; the answer is the best one's letter.

Pure. An item's token stands before its title where the model has one: it costs a single token there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import ClassVar

import numpy as np

from recsys_gateway.catalog.records import Item
from recsys_gateway.engines.ranking_modes import MOST_LETTERED
from recsys_gateway.recommend.prompt import RankPromptBuilder, TokenCounter, item_token, rank_messages, short_line
from recsys_gateway.recommend.stages import Ask, RankPrompt

LETTER_SYSTEM = "You rank items for one customer. Answer with the letter of the best candidate."
LETTERS = "".join(sorted(ascii_letters))
"""A to Z, then a to z: each is a single token in every vocabulary of bytes or of English."""
SHUFFLE = 1
"""Tells the random numbers of the order from those of the sampling, which come from the same seed."""


def lettered(letter: str, line: str) -> str:
    """A candidate's line as the model reads it."""
    return f"{letter}) {line}"


@dataclass(frozen=True, slots=True)
class LetterPromptBuilder(RankPromptBuilder):
    """``shuffles`` prompts that differ in the order of the candidates alone, by the request's seed.

    A model has a leaning to some letters, the first ones most; an order that means nothing keeps that from favouring
    the same items always, and the mean over several orders takes it out.
    """

    shuffles: int = 1

    system: ClassVar[str] = LETTER_SYSTEM
    most_shown: ClassVar[int] = MOST_LETTERED

    def pieces(self) -> list[str]:
        tokens = [item_token(item.id) for item in (*self._history, *self._shown)]
        return [*RankPromptBuilder.pieces(self), *tokens, lettered(LETTERS[0], "")]

    def build(self, count: TokenCounter, *, exact: bool = True) -> RankPrompt:
        _, customer, request = self._frame()
        fitted = self._fitted(count, marks=count(lettered(LETTERS[0], "")))
        with_token = {item.id for item in (*self._history, *self._shown) if exact and count(item_token(item.id)) == 1}
        shown = self._shown[: len(fitted.lines)]
        lines = [_named(item, line, with_token) for item, line in zip(shown, fitted.lines, strict=True)]
        past = [_named(item, short_line(item), with_token) for item in fitted.history]
        asks = [
            Ask(
                rank_messages(self.system, customer, past, _in_order(lines, order), request),
                {letter: shown[place].id for letter, place in zip(LETTERS, order, strict=False)},
            )
            for order in shuffled_orders(len(lines), self.shuffles, self.query.sampling.seed)
        ]
        return RankPrompt(asks[0].messages, self._plain(), asks[0].tokens, fitted.left_out, reordered=tuple(asks[1:]))


def shuffled_orders(candidates: int, count: int, seed: int) -> list[list[int]]:
    """``count`` orders of so many places; the same for the same seed, and the first ones the same for any count."""
    rng = np.random.default_rng([seed, SHUFFLE])
    return [[int(place) for place in rng.permutation(candidates)] for _ in range(count)]


def _in_order(lines: Sequence[str], order: Iterable[int]) -> list[str]:
    return [lettered(letter, lines[place]) for letter, place in zip(LETTERS, order, strict=False)]


def _named(item: Item, line: str, with_token: set[str]) -> str:
    """The line of an item, without a token that the model would have to spell."""
    return line if item.id in with_token else line.removeprefix(f"{item_token(item.id)} ")
