"""A tuned model, run for real: asked as the gateway asks it, over candidates that retrieval found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import EngineType, Pool, RankingMode, Recommendation, Role, ServedModel
from recsys_gateway.recommend.prompt import RankPromptBuilder
from recsys_gateway.recommend.rank import RankFailed, ToolCall
from recsys_gateway.recommend.stages import Candidate, Keywords, Query, Retrieval, Sampling
from recsys_gateway.serving.engine_calls import Timeouts, new_session
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream

from recsys_finetune.evaluation.candidates import CollaborativeCandidates
from recsys_finetune.evaluation.protocol import Case

SETTINGS = Recommendation()
PATIENT = Timeouts(first_byte=300.0, tokenize=60.0)
"""Nobody waits for an answer here, and an engine that is kept busy is slow to count tokens."""
NO_KEYWORDS = Keywords(terms=(), language="en")


@dataclass(frozen=True, slots=True)
class Answers:
    """A list for each case, best first. ``failed`` counts the cases where the model gave none."""

    lists: list[list[str]]
    failed: int


@dataclass(frozen=True, slots=True)
class TunedModel:
    """An engine at ``url`` with ``slots`` sequences at once, and what its prompts are written from."""

    url: str
    slots: int
    items: Mapping[str, Item]
    users: Mapping[str, User]
    candidates: CollaborativeCandidates

    def answer(self, cases: Sequence[Case], advance: Callable[[], None]) -> Answers:
        """Ask about every case, ``slots`` at a time; ``advance`` is called after each.

        Raises:
            UpstreamError: the engine cannot be reached.
        """
        return asyncio.run(self._answer(cases, advance))

    async def _answer(self, cases: Sequence[Case], advance: Callable[[], None]) -> Answers:
        pool = Pool.model_validate({"name": "evaluated", "slots": self.slots, "endpoints": [{"url": self.url}]})
        served = ServedModel(name="evaluated", role=Role.TUNED, engine=EngineType.LLAMA_CPP, pools=(pool,))
        free = asyncio.Semaphore(self.slots)
        async with new_session() as session:
            upstream = Upstream.to(served, session, PATIENT)
            ranker, counts = ToolCall(upstream), TokenCounts(upstream)

            async def one(case: Case) -> tuple[list[str], bool]:
                async with free:
                    answer = await self._ask(case, ranker, counts)
                advance()
                return answer

            answers = await asyncio.gather(*map(one, cases))
        return Answers([items for items, _ in answers], sum(not said for _, said in answers))

    async def _ask(self, case: Case, ranker: ToolCall, counts: TokenCounts) -> tuple[list[str], bool]:
        """The model's list, then what is left of the candidates; and whether the model said one."""
        found = self.candidates.retrieve(case.history, SETTINGS.candidates)
        retrieval = Retrieval(
            candidates=tuple(Candidate(self.items[item], 1.0 / place, {}) for place, item in enumerate(found, 1)),
            user=self.users.get(case.user),
            history=tuple(self.items[item] for item in case.history),
        )
        query = _query(case)
        builder = RankPromptBuilder(
            query, NO_KEYWORDS, retrieval, SETTINGS.candidates, SETTINGS.history_length, SETTINGS.prompt_tokens
        )
        tokens = await counts.of(builder.pieces())
        try:
            ranking = await ranker.rank(builder.build(tokens.__getitem__), query)
        except RankFailed:
            return found, False
        said = [scored.item_id for scored in ranking.items]
        return list(dict.fromkeys([*said, *found])), True


def _query(case: Case) -> Query:
    """A request without words: what comes next for this customer?"""
    return Query(
        text="",
        user_id=case.user,
        size=SETTINGS.size,
        mode=RankingMode.TOOL_CALL,
        sampling=Sampling(),
        mmr_lambda=1.0,
        target_ild=None,
        language=None,
        exclude_seen=True,
        narrate=False,
    )
