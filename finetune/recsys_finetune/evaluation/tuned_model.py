"""A tuned model, run for real: asked as the gateway asks it, over candidates that retrieval found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import EngineType, Pool, RankingMode, Recommendation, Role, ServedModel
from recsys_gateway.recommend.modes import RANKERS, prompt_builder
from recsys_gateway.recommend.rank import Ranker, RankFailed
from recsys_gateway.recommend.stages import Candidate, Keywords, Query, Retrieval, Sampling, Usage
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
class PromptTokens:
    """Tokens of one list, by the engine's own counts: ranking prompt, answer, and the plain prompt."""

    prompt: float
    completion: float
    plain: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from asking the engine to its list, as many questions at once as it has slots."""

    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class Answers:
    """A list for each case, best first. ``failed`` counts the cases where the model gave none.

    ``tokens``: the means over the cases that it answered; None for what reads no prompt, or does not tell.
    ``latency``: over the same cases; None for what asks no engine.
    """

    lists: list[list[str]]
    failed: int
    tokens: PromptTokens | None = None
    latency: Latency | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One case: the list, what it took (``plain`` None: not told), and whether the model said one."""

    items: list[str]
    usage: Usage
    plain: int | None
    said: bool
    milliseconds: float


@dataclass(frozen=True, slots=True)
class TunedModel:
    """An engine at ``url`` with ``slots`` sequences at once, what its prompts are written from, and how it ranks."""

    url: str
    slots: int
    items: Mapping[str, Item]
    users: Mapping[str, User]
    candidates: CollaborativeCandidates
    mode: RankingMode = RankingMode.TOOL_CALL

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
            ranker, counts = RANKERS[self.mode](upstream), TokenCounts(upstream)

            async def one(case: Case) -> Answered:
                async with free:
                    answer = await self._ask(case, ranker, counts)
                advance()
                return answer

            answers = await asyncio.gather(*map(one, cases))
        return answers_of(answers)

    async def _ask(self, case: Case, ranker: Ranker, counts: TokenCounts) -> Answered:
        """The model's list, then what is left of the candidates."""
        found = self.candidates.retrieve(case.history, SETTINGS.candidates)
        retrieval = Retrieval(
            candidates=tuple(Candidate(self.items[item], 1.0 / place, {}) for place, item in enumerate(found, 1)),
            user=self.users.get(case.user),
            history=tuple(self.items[item] for item in case.history),
            seen=frozenset(case.history),
        )
        query = _query(case, self.mode)
        builder = prompt_builder(query, NO_KEYWORDS, retrieval, SETTINGS)
        tokens = await counts.of(builder.pieces())
        prompt = builder.build(tokens.__getitem__)
        asked = time.perf_counter()
        try:
            ranking = await ranker.rank(prompt, query)
        except RankFailed:
            return Answered(found, Usage(), None, said=False, milliseconds=0.0)
        milliseconds = (time.perf_counter() - asked) * 1000
        plain = await counts.of(message.content for message in prompt.plain)
        said = [scored.item_id for scored in ranking.items]
        return Answered(list(dict.fromkeys([*said, *found])), ranking.usage, sum(plain.values()), True, milliseconds)


def answers_of(answered: Sequence[Answered]) -> Answers:
    """What the cases come to together."""
    said = [each for each in answered if each.said]
    latency = latency_of([each.milliseconds for each in said])
    return Answers([each.items for each in answered], len(answered) - len(said), mean_tokens(said), latency)


def mean_tokens(answers: Sequence[Answered]) -> PromptTokens | None:
    """What a list took in the mean, over the cases where it was told."""
    told = [(each.usage, each.plain) for each in answers if each.plain is not None]
    if not told:
        return None
    return PromptTokens(
        prompt=fmean(usage.prompt for usage, _ in told),
        completion=fmean(usage.completion for usage, _ in told),
        plain=fmean(plain for _, plain in told),
    )


def latency_of(milliseconds: Sequence[float]) -> Latency | None:
    """Median and 95th percentile; None where fewer than two were told."""
    if len(milliseconds) < 2:
        return None
    twentieths = quantiles(milliseconds, n=20, method="inclusive")
    return Latency(median=twentieths[9], p95=twentieths[18])


def _query(case: Case, mode: RankingMode) -> Query:
    """A request without words: what comes next for this customer?"""
    return Query(
        text="",
        user_id=case.user,
        size=SETTINGS.size,
        mode=mode,
        sampling=Sampling(),
        mmr_lambda=1.0,
        target_ild=None,
        language=None,
        exclude_seen=True,
        narrate=False,
    )
