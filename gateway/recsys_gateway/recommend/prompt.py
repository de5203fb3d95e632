"""Stage 3: what the two models are asked. Pure text: the same code writes the prompts that the models are trained on.

The ranking prompt stays within a budget of tokens. What does not fit is left out in this order: the details of the
lowest candidates, the oldest of the history, the lowest candidates themselves. Item texts come from a catalogue that
anybody may have written: they are put on one line, without control characters and without item tokens of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from recsys_gateway.catalog.records import Item, Scalar
from recsys_gateway.recommend.stages import Keywords, Message, Query, RankPrompt, Retrieval

TokenCounter = Callable[[str], int]

RANK_SYSTEM = "You rank items for one customer. Call recommend with item ids from the candidates, best first."
NARRATE_SYSTEM = (
    "You are a shop assistant. In one or two sentences, recommend the listed items and nothing else. "
    "Write an item as its number in brackets, such as [1]; the reader sees its title."
)
REQUEST_CHARACTERS = 240
TITLE_CHARACTERS = 100
FACTS = 3
MINIMUM_HISTORY = 3
HISTORY = "History: "
CANDIDATES = "Candidates:"
TEMPLATE_TOKENS = 16
"""Room for what the model's chat template puts around two messages."""

BETWEEN = "; "
NO_HISTORY = "none"

_UNSAFE_IN_TOKEN = re.compile(r"[<>%\s\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r"%([0-9A-F]{2,4});", re.ASCII)
_TOKEN = re.compile(r"<[^<>\s]+>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def item_token(item_id: str) -> str:
    """How prompts and answers of the tuned model write an item: ``<id>``; one to one with the ids.

    A model that ``finetune`` trained holds each of these as a single token of its vocabulary.
    """
    return "<" + _UNSAFE_IN_TOKEN.sub(lambda match: f"%{ord(match.group()):02X};", item_id) + ">"


def item_id(token: str) -> str | None:
    """The id that ``item_token`` writes as ``token``; None for what is none, such as ``<|eos|>`` or a word."""
    if not _TOKEN.fullmatch(token) or token.startswith("<|"):
        return None
    found = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), token[1:-1])
    return found if item_token(found) == token else None


def one_line(text: str, limit: int) -> str:
    """``text`` on one line of at most ``limit`` characters, with nothing in it that could pass for an item token."""
    flat = " ".join(_CONTROL.sub(" ", text).split()).replace("<", "‹").replace(">", "›").replace("|", "/")
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def excerpt(query: str, keywords: Keywords) -> str:
    """The query as a prompt shows it: whole where it is short, else its beginning and its key words."""
    flat = one_line(query, REQUEST_CHARACTERS)
    if len(flat) < REQUEST_CHARACTERS or not keywords.terms:
        return flat
    return f"{flat} ({', '.join(keywords.terms)})"


def facts(item: Item, terms: Sequence[str], limit: int = FACTS) -> list[str]:
    """Up to ``limit`` texts among the item's attributes, those that share a word with ``terms`` first."""
    values = [one_line(value, 40) for value in item.attributes.values() if isinstance(value, str) and value.strip()]
    wanted = {term.casefold() for term in terms}
    return sorted(values, key=lambda value: not wanted & set(value.casefold().split()))[:limit]


def short_line(item: Item) -> str:
    """Token and title: the least that a candidate or an item of the history takes."""
    return f"{item_token(item.id)} {one_line(item.title, TITLE_CHARACTERS)}"


def detailed_line(item: Item, terms: Sequence[str]) -> str:
    """Token, title, categories, price and the facts that the key words ask for."""
    return " | ".join([short_line(item), *_details(item, terms, price=True)])


def full_line(item: Item) -> str:
    """Token and the whole document: a candidate of the plain prompt."""
    price = [] if item.price is None else [f"{item.price:.2f}"]
    return " | ".join([f"{item_token(item.id)} {one_line(item.document, 100_000)}", *price])


def on_a_line(text: str) -> str:
    return text + "\n"


def _of_history(item: Item) -> str:
    return short_line(item) + BETWEEN


def _details(item: Item, terms: Sequence[str], *, price: bool) -> Iterator[str]:
    if item.categories:
        yield one_line(", ".join(item.categories), 60)
    if price and item.price is not None:
        yield f"{item.price:.2f}"
    if chosen := facts(item, terms):
        yield ", ".join(chosen)


def traits_line(traits: Mapping[str, Scalar], allowed: Sequence[str] | None) -> str:
    """``age 34, gender F``, with the traits that may enter a prompt (None: all)."""
    shown = {name: value for name, value in traits.items() if allowed is None or name in allowed}
    return ", ".join(f"{one_line(name, 40)} {one_line(str(value), 40)}" for name, value in shown.items())


@dataclass(frozen=True, slots=True)
class RankPromptBuilder:
    """The ranking prompt of one request. ``pieces`` names the texts whose token counts ``build`` will ask for.

    This is the one of ToolCall; the other modes change what a line looks like (``letter_prompt``) or leave the texts
    out (``item_token_prompt``).
    """

    query: Query
    keywords: Keywords
    retrieval: Retrieval
    candidates: int
    history_length: int
    budget: int
    allowed_traits: tuple[str, ...] | None = None

    system: ClassVar[str] = RANK_SYSTEM
    most_shown: ClassVar[int] = 100

    @property
    def _shown(self) -> list[Item]:
        return [candidate.item for candidate in self.retrieval.candidates[: min(self.candidates, self.most_shown)]]

    @property
    def _history(self) -> list[Item]:
        return list(self.retrieval.history[-self.history_length :]) if self.history_length else []

    def _frame(self) -> list[str]:
        """The lines that are always there: system, customer, request."""
        traits = traits_line(self.retrieval.user.traits, self.allowed_traits) if self.retrieval.user else ""
        return [self.system, f"Customer: {traits or 'unknown'}", f"Request: {excerpt(self.query.text, self.keywords)}"]

    def pieces(self) -> list[str]:
        """Every text that the budget is counted from: what the prompt is made of, with its separators."""
        pieces = [*self._fixed(), *map(_of_history, self._history)]
        for item in self._shown:
            pieces += [on_a_line(short_line(item)), on_a_line(detailed_line(item, self.keywords.terms))]
        return pieces

    def _fixed(self) -> list[str]:
        """The pieces that are always there."""
        system, customer, request = self._frame()
        return [system, on_a_line(customer), on_a_line(HISTORY + NO_HISTORY), on_a_line(CANDIDATES), request]

    def build(self, count: TokenCounter, *, exact: bool = True) -> RankPrompt:
        """The prompt within the budget; ``count`` gives the tokens of each of ``pieces``.

        ``exact``: by the model's own tokenizer; an estimate cannot tell which items have a token of their own.
        """
        _, customer, request = self._frame()
        fitted = self._fitted(count)
        shown = self._shown[: len(fitted.lines)]
        return RankPrompt(
            messages=rank_messages(self.system, customer, map(short_line, fitted.history), fitted.lines, request),
            plain=self._plain(),
            tokens={item_token(item.id): item.id for item in shown},
            left_out=fitted.left_out,
        )

    def _plain(self) -> tuple[Message, ...]:
        _, customer, _ = self._frame()
        request = f"Request: {one_line(self.query.text, 100_000)}"
        return rank_messages(
            RANK_SYSTEM, customer, map(short_line, self._history), map(full_line, self._shown), request
        )

    def _fitted(self, count: TokenCounter, marks: int = 0) -> Fitted:
        """What fits the budget; ``marks`` are the tokens that each candidate's line takes beside its text."""
        terms = self.keywords.terms
        history, shown = self._history, self._shown
        lines = [detailed_line(item, terms) for item in shown]

        def line_tokens(line: str) -> int:
            return count(on_a_line(line)) + marks

        def history_tokens(item: Item) -> int:
            return count(_of_history(item))

        room = self.budget - TEMPLATE_TOKENS - sum(map(count, self._fixed()))
        room -= sum(map(history_tokens, history)) + sum(map(line_tokens, lines))
        left_out = 0
        for index in range(len(lines) - 1, -1, -1):
            if room >= 0:
                break
            short = short_line(shown[index])
            if short != lines[index]:
                room += line_tokens(lines[index]) - line_tokens(short)
                lines[index], left_out = short, left_out + 1
        while room < 0 and len(history) > MINIMUM_HISTORY:
            room += history_tokens(history.pop(0))
            left_out += 1
        while room < 0 and len(lines) > 1:
            room += line_tokens(lines.pop())
            left_out += 1
        return Fitted(history, lines, left_out)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a prompt has room for: history, lines of the candidates in their order, and how much was left out."""

    history: list[Item]
    lines: list[str]
    left_out: int


def rank_messages(
    system: str, customer: str, history: Iterable[str], candidate_lines: Iterable[str], request: str
) -> tuple[Message, ...]:
    """A ranking prompt with texts, from its parts; the training sets of ``finetune`` are written by this too."""
    body = "\n".join([customer, HISTORY + (BETWEEN.join(history) or NO_HISTORY), CANDIDATES, *candidate_lines, request])
    return Message("system", system), Message("user", body)


def narrate_messages(request: str, items: Sequence[Item], terms: Sequence[str], language: str) -> tuple[Message, ...]:
    """The narration prompt: ``items`` are numbered from 1, as the sentence is to name them."""
    lines = [
        " | ".join([f"[{number}] {one_line(item.title, TITLE_CHARACTERS)}", *_details(item, terms, price=False)])
        for number, item in enumerate(items, 1)
    ]
    body = "\n".join([f"Request: {request or 'none'}", f"Language: {language}", "Items:", *lines])
    return Message("system", NARRATE_SYSTEM), Message("user", body)
