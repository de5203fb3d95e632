"""ItemTokens: one forward pass; a list is drawn from the distribution that the log-probabilities of item tokens are."""

from __future__ import annotations

from recsys_gateway.engines.dialect import ChoiceCall
from recsys_gateway.engines.ranking_modes import ITEM_ALTERNATIVES
from recsys_gateway.recommend.prompt import item_id
from recsys_gateway.recommend.rank import Model, RankFailed
from recsys_gateway.recommend.sampling import draw_list, log_normalised
from recsys_gateway.recommend.stages import Query, Ranking, RankPrompt, Usage
from recsys_gateway.serving.completions import FirstToken


class ItemTokens:
    """What is in the vocabulary and not in the catalogue any more is said too, for verification to drop and count."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def rank(self, prompt: RankPrompt, query: Query) -> Ranking:
        most = self._model.alternatives
        messages = [(message.role, message.content) for message in prompt.messages]
        call = ChoiceCall(messages, ITEM_ALTERNATIVES if most is None else min(ITEM_ALTERNATIVES, most))
        answer = await self._model.choose(call)
        distribution = read_items(prompt, answer)
        if not distribution:
            raise RankFailed("no item token is among what the tuned model would answer")
        size = max(query.size, len(prompt.tokens))
        items = draw_list(distribution, size, query.sampling)
        return Ranking(items, Usage(answer.usage.prompt, answer.usage.completion), prompt.nameless)


def read_items(prompt: RankPrompt, answer: FirstToken) -> dict[str, float]:
    """The distribution over the items that may be named, as log-probabilities; empty where none of them is told."""
    found: dict[str, float] = {}
    for token, log_probability in answer.log_probabilities:
        item = prompt.tokens.get(token) or (item_id(token) if prompt.open else None)
        if item is not None and item not in prompt.excluded:
            found[item] = max(log_probability, found.get(item, log_probability))
    return log_normalised(found)
