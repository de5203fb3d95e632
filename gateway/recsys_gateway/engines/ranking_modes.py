"""Which engine can rank in which mode, and with which flags: one table for the gateway, the operator and the docs.

ToolCall needs a JSON schema, which every engine takes. The other two need the log-probabilities of many tokens: as many
as there are candidates to letter (Verbalizer), or enough of the vocabulary to draw a list from (ItemTokens).
"""

from __future__ import annotations

from recsys_gateway.config import EngineType, RankingMode, Recommendation, ServedModel
from recsys_gateway.engines.registry import dialect_of

MOST_LETTERED = 52
ITEM_ALTERNATIVES = 256
"""What ItemTokens asks for where the engine allows it; the tail beyond has no chance. llama.cpp: 0.1 ms for each."""


def alternatives_of(model: ServedModel) -> int | None:
    """How many alternatives of a token the engine of ``model`` tells; None: as many as are asked for."""
    return model.log_probabilities or dialect_of(model.engine).capabilities.log_probabilities.at_most


def alternatives_needed(mode: RankingMode, settings: Recommendation) -> int:
    """The least that a mode can work with: each lettered candidate, or a list twice as long as an answer."""
    match mode:
        case RankingMode.TOOL_CALL:
            return 0
        case RankingMode.VERBALIZER:
            return min(settings.candidates, MOST_LETTERED)
        case RankingMode.ITEM_TOKENS:
            return max(settings.candidates, 2 * settings.size) + 1


def engine_arguments(engine: EngineType) -> tuple[str, ...]:
    """What an engine must be started with, so that a request may choose any mode that the engine is able to.

    Where there are any, ``logProbabilities`` of the model in the gateway's configuration is ITEM_ALTERNATIVES.
    """
    flag = dialect_of(engine).capabilities.log_probabilities.flag
    return (flag, str(ITEM_ALTERNATIVES)) if flag else ()


def refusal(mode: RankingMode, model: ServedModel, settings: Recommendation) -> str | None:
    """Why ``model`` cannot rank in ``mode``, and what to do about it; None where it can."""
    needed, told = alternatives_needed(mode, settings), alternatives_of(model)
    if told is None or told >= needed:
        return None
    flag = dialect_of(model.engine).capabilities.log_probabilities.flag
    wanted = max(needed, ITEM_ALTERNATIVES) if mode is RankingMode.ITEM_TOKENS else needed
    if flag:
        remedy = f"start the engine with {flag} {wanted} and say logProbabilities: {wanted} of the model {model.name}"
    elif mode is RankingMode.VERBALIZER:
        remedy = f"set recommendation.candidates to {told} or fewer, or choose the mode {RankingMode.TOOL_CALL}"
    else:
        remedy = f"choose the mode {RankingMode.TOOL_CALL}, or an engine that tells more"
    return (
        f"{mode} needs the log-probabilities of {needed} tokens, and {model.engine} tells {told} of the model "
        f"{model.name}: {remedy}"
    )
