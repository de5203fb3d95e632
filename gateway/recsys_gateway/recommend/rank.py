"""Stage 4: the tuned model makes its list. One ranker a mode (``modes.py``); this one has the model call a tool.

What the model says is read defensively, and verified later.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from recsys_gateway.engines.dialect import ChatCall, ChoiceCall
from recsys_gateway.recommend.stages import Query, Ranking, RankPrompt, Scored, Usage
from recsys_gateway.serving.completions import Completion, FirstToken

DEFAULT_TEMPERATURE = 0.0
FRAME_TOKENS = 24
"""Room in the answer for what is not an item: braces, the name of the field, white space."""


class RankFailed(Exception):
    """The tuned model answered, but with no list. The message says what was wrong, and quotes nothing."""


class Model(Protocol):
    """A model that can be asked for a whole answer, or for what its first token may be. Raises UpstreamError.

    ``alternatives``: how many tokens at most it tells the log-probabilities of; None: all.
    """

    @property
    def alternatives(self) -> int | None: ...

    async def chat(self, call: ChatCall) -> Completion: ...

    async def choose(self, call: ChoiceCall) -> FirstToken: ...


class Ranker(Protocol):
    """One way of making the list."""

    async def rank(self, prompt: RankPrompt, query: Query) -> Ranking:
        """The tuned model's list.

        Raises:
            UpstreamError: the model could not be asked.
            RankFailed: it answered with no list.
        """
        ...


class ToolCall:
    """The model calls ``recommend(items=[…])``; a JSON schema holds it to the candidates."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def rank(self, prompt: RankPrompt, query: Query) -> Ranking:
        size = min(query.size, len(prompt.tokens))
        sampling = query.sampling
        completion = await self._model.chat(
            ChatCall(
                messages=[(message.role, message.content) for message in prompt.messages],
                max_tokens=answer_tokens(list(prompt.tokens), size),
                temperature=DEFAULT_TEMPERATURE if sampling.temperature is None else sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                seed=sampling.seed,
                schema=recommend_schema(list(prompt.tokens), size),
            )
        )
        ids = parse_items(completion.text, prompt.tokens)
        scored = tuple(Scored(item_id, 1 - place / len(ids)) for place, item_id in enumerate(ids))
        return Ranking(scored, Usage(completion.usage.prompt, completion.usage.completion))


def recommend_schema(tokens: Sequence[str], size: int) -> Mapping[str, object]:
    """The arguments of ``recommend``: up to ``size`` of ``tokens``. JSON schema cannot forbid doubles everywhere."""
    items = {"type": "array", "items": {"type": "string", "enum": list(tokens)}, "minItems": 1, "maxItems": size}
    return {"type": "object", "properties": {"items": items}, "required": ["items"], "additionalProperties": False}


def answer_tokens(tokens: Sequence[str], size: int) -> int:
    """An upper bound of the answer's length, for tokenizers that cut an id down to single characters' pairs."""
    longest = max(map(len, tokens), default=0)
    return FRAME_TOKENS + size * (math.ceil(longest / 1.5) + 4)


def parse_items(text: str, tokens: Mapping[str, str]) -> list[str]:
    """The ids in the answer ``{"items": [...]}``, as said: unknown and doubled ones stay, for verification to count.

    An answer that was cut off gives the items that are whole; a fence of Markdown around the JSON is taken off.

    Raises:
        RankFailed: there is no such list, or nothing in it.
    """
    stripped = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    try:
        answer = json.loads(stripped)
    except (ValueError, RecursionError):
        said = _whole_items(stripped)
    else:
        said = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(said, list):
        raise RankFailed("the tuned model answered with something else than the schema")
    if not said:
        raise RankFailed("the tuned model's list is empty")
    by_id = set(tokens.values())
    return [_item_id(str(each), tokens, by_id) for each in said]


def _item_id(said: str, tokens: Mapping[str, str], ids: set[str]) -> str:
    """The id that was meant: by its token, by the bare id, or as it was said."""
    token = said.strip()
    if token in tokens:
        return tokens[token]
    return token if token in ids else token.removeprefix("<").removesuffix(">")


def _whole_items(text: str) -> list[object] | None:
    """The whole strings of a list that was cut off; None where there is no beginning of such a list."""
    head, found, rest = text.partition("[")
    if not found or (head.split() != ["{", '"items":'] and "".join(head.split()) != '{"items":'):
        return None
    decoder, items = json.JSONDecoder(), list[object]()
    while True:
        try:
            value, end = decoder.raw_decode(rest.lstrip().removeprefix(",").lstrip())
        except (ValueError, RecursionError):
            return items or None
        items.append(value)
        rest = rest.lstrip().removeprefix(",").lstrip()[end:]
