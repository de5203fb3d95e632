"""The prompt of ItemTokens: history and candidates as one token each, no texts; the answer is the next item's token.

Pure. What the model has no token for cannot stand there, and is told as nameless: retrieval speaks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.prompt import (
    CANDIDATES,
    HISTORY,
    MINIMUM_HISTORY,
    NO_HISTORY,
    TEMPLATE_TOKENS,
    RankPromptBuilder,
    TokenCounter,
    item_token,
    on_a_line,
)
from recsys_gateway.recommend.stages import Message, RankPrompt

ITEM_SYSTEM = "Name the next item."


@dataclass(frozen=True, slots=True)
class ItemTokenPromptBuilder(RankPromptBuilder):
    """With words or filters in the request the model chooses among the candidates: what else meets them it cannot see.

    Without, it may name any item of its vocabulary that the customer has not seen.
    """

    system: ClassVar[str] = ITEM_SYSTEM

    def pieces(self) -> list[str]:
        tokens = [item_token(item.id) for item in (*self._history, *self._shown)]
        return [*self._lines_of_frame(), *tokens]

    def _lines_of_frame(self) -> list[str]:
        system, customer, request = self._frame()
        past, candidates = HISTORY + NO_HISTORY, f"{CANDIDATES} {NO_HISTORY}"
        return [system, *map(on_a_line, (customer, past, candidates)), request]

    def build(self, count: TokenCounter, *, exact: bool = True) -> RankPrompt:
        _, customer, request = self._frame()

        def has_token(item: Item) -> bool:
            return not exact or count(item_token(item.id)) == 1

        history = list(filter(has_token, self._history))
        shown = list(filter(has_token, self._shown))
        left_out = len(self._history) - len(history)
        room = self.budget - TEMPLATE_TOKENS - sum(map(count, self._lines_of_frame())) - len(history) - len(shown)
        from_history = min(max(0, -room), max(0, len(history) - MINIMUM_HISTORY))
        history = history[from_history:]
        from_shown = min(max(0, -room - from_history), max(0, len(shown) - 1))
        shown = shown[: len(shown) - from_shown]
        return RankPrompt(
            messages=item_token_messages(customer, history, shown, request),
            plain=self._plain(),
            tokens={item_token(item.id): item.id for item in shown},
            left_out=left_out + from_history + from_shown,
            nameless=frozenset(item.id for item in self._shown if not has_token(item)),
            open=not self.query.text.strip() and not self.query.filters.conditions,
            excluded=self.retrieval.seen,
        )


def item_token_messages(
    customer: str, history: Iterable[Item], shown: Iterable[Item], request: str
) -> tuple[Message, ...]:
    """The prompt from its parts."""
    past = "".join(item_token(item.id) for item in history) or NO_HISTORY
    candidates = "".join(item_token(item.id) for item in shown) or NO_HISTORY
    body = "\n".join([customer, HISTORY + past, f"{CANDIDATES} {candidates}", request])
    return Message("system", ITEM_SYSTEM), Message("user", body)
