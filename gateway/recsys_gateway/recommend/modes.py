"""The ranking modes: how each writes its prompt, and how it makes a list of the answer (docs/design/modes.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recsys_gateway.config import RankingMode, Recommendation
from recsys_gateway.recommend.item_token_prompt import ItemTokenPromptBuilder
from recsys_gateway.recommend.item_tokens import ItemTokens
from recsys_gateway.recommend.letter_prompt import LetterPromptBuilder
from recsys_gateway.recommend.prompt import RankPromptBuilder
from recsys_gateway.recommend.rank import Model, Ranker, ToolCall
from recsys_gateway.recommend.stages import Keywords, Query, Retrieval
from recsys_gateway.recommend.verbalizer import Verbalizer

RANKERS: Mapping[RankingMode, Callable[[Model], Ranker]] = {
    RankingMode.TOOL_CALL: ToolCall,
    RankingMode.VERBALIZER: Verbalizer,
    RankingMode.ITEM_TOKENS: ItemTokens,
}


def prompt_builder(
    query: Query, keywords: Keywords, retrieval: Retrieval, settings: Recommendation
) -> RankPromptBuilder:
    """What writes the prompt of the query's mode."""
    parts = (
        query,
        keywords,
        retrieval,
        settings.candidates,
        settings.history_length,
        settings.prompt_tokens,
        settings.prompt_traits,
    )
    match query.mode:
        case RankingMode.TOOL_CALL:
            return RankPromptBuilder(*parts)
        case RankingMode.VERBALIZER:
            return LetterPromptBuilder(*parts, shuffles=settings.shuffles)
        case RankingMode.ITEM_TOKENS:
            return ItemTokenPromptBuilder(*parts)
