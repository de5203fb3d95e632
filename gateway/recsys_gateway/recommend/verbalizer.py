"""Verbalizer (LlamaRec): one forward pass; the log-probabilities of the candidates' letters are their scores."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from statistics import fmean

from recsys_gateway.engines.dialect import ChoiceCall
from recsys_gateway.recommend.rank import Model, RankFailed
from recsys_gateway.recommend.sampling import draw_list, log_normalised
from recsys_gateway.recommend.stages import Ask, Query, Ranking, RankPrompt, Usage
from recsys_gateway.serving.completions import FirstToken

SPARE_ALTERNATIVES = 12
"""Asked for beyond the letters, where the engine allows it: a word, or a letter after a space, may be likelier."""


class Verbalizer:
    """One call for each order of the candidates, at once; their number is bounded by the configuration."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def rank(self, prompt: RankPrompt, query: Query) -> Ranking:
        answers = await _together(self._ask(ask) for ask in prompt.asks)
        scores = [
            found for ask, answer in zip(prompt.asks, answers, strict=True) if (found := read_letters(ask, answer))
        ]
        if not scores:
            raise RankFailed("none of the candidates' letters is among what the tuned model would answer")
        items = draw_list(mean_scores(scores), len(prompt.tokens), query.sampling)
        usage = Usage(sum(each.usage.prompt for each in answers), sum(each.usage.completion for each in answers))
        return Ranking(items, usage)

    async def _ask(self, ask: Ask) -> FirstToken:
        wanted, most = len(ask.tokens) + SPARE_ALTERNATIVES, self._model.alternatives
        messages = [(message.role, message.content) for message in ask.messages]
        return await self._model.choose(ChoiceCall(messages, wanted if most is None else min(wanted, most)))


def read_letters(ask: Ask, answer: FirstToken) -> dict[str, float]:
    """Log-probabilities of the items whose letters are told, among all that were lettered; empty where none is.

    White space around a letter does not count. A letter that is not told has at most the chance of the least likely
    token that is: it gets that.
    """
    found: dict[str, float] = {}
    for token, log_probability in answer.log_probabilities:
        item = ask.tokens.get(token.strip())
        if item is not None:
            found[item] = _log_sum(found.get(item, -math.inf), log_probability)
    if not found:
        return {}
    least = min(log_probability for _, log_probability in answer.log_probabilities)
    return log_normalised({item: found.get(item, least) for item in ask.tokens.values()})


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean log-probability of each item over several orders (the geometric mean: no order can outvote the rest)."""
    return log_normalised({item: fmean(each[item] for each in scores) for item in scores[0]})


def _log_sum(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


async def _together(calls: Iterable[Coroutine[object, object, FirstToken]]) -> list[FirstToken]:
    """All answers; when one call fails the others are given up, so that nothing runs on unseen."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
