"""The pipeline: keywords -> retrieve -> prompt -> rank -> verify -> diversify -> narrate (docs/design/pipeline.md).

Each stage is timed. One that fails degrades the answer and does not end it: without the tuned model the order of
retrieval stands, without the base model a template speaks, without the store popular items come from memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from recsys_gateway.catalog.failures import StoreRefused, StoreUnavailable
from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.config import Recommendation
from recsys_gateway.recommend.answer import Answer, AnswerItem, Delta, Event, Explanation, ItemsReady, Tokens
from recsys_gateway.recommend.claims import Claims
from recsys_gateway.recommend.deadline import Deadline
from recsys_gateway.recommend.degradation import Degradation, Reason, reason_of
from recsys_gateway.recommend.diversify import diversify
from recsys_gateway.recommend.faithfulness import CheckedText, Outside
from recsys_gateway.recommend.journey import Journey, journeys
from recsys_gateway.recommend.keywords import extract
from recsys_gateway.recommend.modes import RANKERS, prompt_builder
from recsys_gateway.recommend.narrate import Narration, Storyteller, narrate
from recsys_gateway.recommend.prompt import excerpt, narrate_messages
from recsys_gateway.recommend.rank import Model, RankFailed
from recsys_gateway.recommend.reasons import reason
from recsys_gateway.recommend.retrieve import Catalog, Retriever, TextEmbedder, from_memory
from recsys_gateway.recommend.rules import Ruled, Rules, apply
from recsys_gateway.recommend.snapshot import CatalogSnapshot
from recsys_gateway.recommend.stages import (
    Keywords,
    Query,
    Ranking,
    RankPrompt,
    Retrieval,
    Slate,
    Stage,
    Usage,
    Verified,
)
from recsys_gateway.recommend.template import plain_answer
from recsys_gateway.recommend.verify import known_from_retrieval, stored_items, verify
from recsys_gateway.serving.failures import UpstreamError
from recsys_gateway.serving.token_counts import estimate

# Of the time that is left, what a step may take: one that hangs must leave time to answer without it.
RETRIEVE_SHARE = 0.4
PROMPT_SHARE = 0.1
RANK_SHARE = 0.5
VERIFY_SHARE = 0.2
NARRATE_SHARE = 0.95

CHOICE = 3
"""Candidates an item of the answer: what diversity chooses from. Measured on films: docs/design/modes.md."""

PLAIN_COUNT_SECONDS = 0.05
"""How long an answer waits, after ranking, for the count of the plain prompt: a figure, and no part of the answer."""


_STORE_AWAY = (Reason.NO_STORE, Reason.TIMEOUT, Reason.REFUSED)
"""Of retrieval: the store was of no help, and is not asked again for the same answer."""


Span = Callable[[str], AbstractContextManager[object]]
"""Makes a span of a trace around a stage."""


def no_span(_name: str) -> AbstractContextManager[object]:
    """Where nothing is traced."""
    return nullcontext()


class NothingToRecommend(Exception):
    """The store is away, and nothing of the catalogue is in memory yet: there is no answer, try again later."""


class Counter(Protocol):
    """Token counts by a model's own tokenizer."""

    async def of(self, texts: Iterable[str]) -> Mapping[str, int]: ...

    async def of_whole(self, texts: Iterable[str]) -> int | None: ...


@dataclass(frozen=True, slots=True)
class TunedModel:
    model: Model
    tokens: Counter


@dataclass(frozen=True, slots=True)
class Parts:
    """What a request works with. Models and embedder are None where there are none.

    ``on_store_lost`` is told when a request finds the store away, and why.
    """

    catalog: Catalog
    snapshot: CatalogSnapshot
    embedder: TextEmbedder | None
    tuned: TunedModel | None
    base: Storyteller | None
    on_store_lost: Callable[[str], None] = lambda problem: None


@dataclass(slots=True)
class Trace:
    """What is noted of one request on its way."""

    clock: Callable[[], float]
    started: float
    span: Span
    timings_ms: dict[str, float] = field(default_factory=dict)
    degraded: list[Degradation] = field(default_factory=list)

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Times the block, and traces it."""
        began = self.clock()
        try:
            with self.span(stage.value):
                yield
        finally:
            self.timings_ms[stage.value] = (self.clock() - began) * 1000

    def degrade(self, stage: Stage, reason: Reason) -> None:
        self.degraded.append(Degradation(stage, reason))


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``parts`` is asked anew for each request: what was not there at start-up may be there by now."""

    settings: Recommendation
    parts: Callable[[], Parts]
    clock: Callable[[], float]
    span: Span = no_span

    async def run(self, query: Query, deadline: Deadline) -> AsyncGenerator[Event, None]:
        """The events of one answer. Close the generator to abort what runs for it.

        Raises:
            NothingToRecommend: there is neither a store nor anything in memory.
        """
        parts, trace = self.parts(), Trace(self.clock, self.clock(), self.span)
        with trace.stage(Stage.KEYWORDS):
            keywords = extract(query.text, parts.snapshot.vocabulary)
        language = query.language or self.settings.language or keywords.language
        with trace.stage(Stage.RETRIEVE):
            retrieval = await self._retrieve(parts, query, keywords, trace, deadline.share(RETRIEVE_SHARE))
        prompt, ranking, plain = await self._list(parts, query, keywords, retrieval, trace, deadline)
        with trace.stage(Stage.VERIFY):
            verified, stored = await self._verify(parts, query, retrieval, ranking, trace, deadline.share(VERIFY_SHARE))
        with trace.stage(Stage.DIVERSIFY):
            ruled = apply(Rules(query.pin, query.category_cap), verified.items, stored, query.size)
            free = query.size - len(ruled.pinned)
            slate = diversify(ruled.free, free, query.mmr_lambda, query.target_ild, first=ruled.pinned)
        items = tuple(AnswerItem(item, reason(item, keywords.terms, language)) for item in slate.items)
        yield ItemsReady(items, slate.ild)
        text, usage = None, Usage()
        if query.narrate:
            with trace.stage(Stage.NARRATE):
                async with aclosing(
                    self._narrate(parts, query, keywords, slate, retrieval, language, deadline)
                ) as said:
                    async for each in said:
                        if isinstance(each, Narration):
                            usage = each.usage
                            if each.failed:
                                trace.degrade(Stage.NARRATE, each.failed)
                        else:
                            text = (text or "") + each
                            yield Delta(each)
        trace.timings_ms["total"] = (self.clock() - trace.started) * 1000
        yield Answer(
            items=items,
            text=text,
            ild=slate.ild,
            tokens=Tokens(ranking.usage, usage, plain),
            timings_ms=trace.timings_ms,
            degraded=tuple(trace.degraded),
            rejected=verified.rejected,
            explanation=_explain(
                keywords, retrieval, prompt, ruled, journeys(retrieval, prompt, ranking, verified, ruled, slate)
            ),
            language=language,
        )

    def _pool(self, query: Query) -> int:
        """Candidates to find: enough to show, to fill gaps and to leave diversity a choice."""
        return max(self.settings.candidates, CHOICE * query.size)

    async def _retrieve(
        self, parts: Parts, query: Query, keywords: Keywords, trace: Trace, deadline: Deadline
    ) -> Retrieval:
        retriever = Retriever(parts.catalog, parts.embedder, parts.snapshot.vocabulary)
        try:
            async with asyncio.timeout(deadline.left()):
                retrieval, degraded = await retriever.retrieve(query, keywords, self._pool(query))
        except (StoreUnavailable, TimeoutError) as error:
            if not parts.snapshot.popular:
                raise NothingToRecommend("the vector store cannot be reached, and nothing is in memory yet") from None
            trace.degrade(Stage.RETRIEVE, _without_store(error, parts))
            return from_memory(query, keywords, parts.snapshot.popular, self._pool(query))
        trace.degraded += degraded
        return retrieval

    async def _list(
        self, parts: Parts, query: Query, keywords: Keywords, retrieval: Retrieval, trace: Trace, deadline: Deadline
    ) -> tuple[RankPrompt | None, Ranking, int | None]:
        """Prompt and rank: the tuned model's list (empty where it failed), and the tokens of the plain prompt."""
        if parts.tuned is None:
            trace.degrade(Stage.RANK, Reason.NO_MODEL)
            return None, Ranking((), Usage()), None
        if not retrieval.candidates:
            return None, Ranking((), Usage()), None
        with trace.stage(Stage.PROMPT):
            prompt = await self._prompt(
                parts.tuned.tokens, query, keywords, retrieval, trace, deadline.share(PROMPT_SHARE)
            )
        with trace.stage(Stage.RANK):
            ranking, plain = await _rank_and_count(parts.tuned, prompt, query, trace, deadline.share(RANK_SHARE))
        return prompt, ranking, plain

    async def _prompt(
        self,
        tokens: Counter,
        query: Query,
        keywords: Keywords,
        retrieval: Retrieval,
        trace: Trace,
        deadline: Deadline,
    ) -> RankPrompt:
        builder = prompt_builder(query, keywords, retrieval, self.settings)
        try:
            async with asyncio.timeout(deadline.left()):
                counts = await tokens.of(builder.pieces())
        except LookupError:
            return builder.build(estimate, exact=False)
        except (UpstreamError, TimeoutError):
            trace.degrade(Stage.PROMPT, Reason.ESTIMATED)
            return builder.build(estimate, exact=False)
        return builder.build(counts.__getitem__)

    async def _verify(
        self,
        parts: Parts,
        query: Query,
        retrieval: Retrieval,
        ranking: Ranking,
        trace: Trace,
        deadline: Deadline,
    ) -> tuple[Verified, Mapping[str, StoredItem]]:
        """What may be shown, and what the store holds of the ranked and the pinned items."""
        away = any(Degradation(Stage.RETRIEVE, reason) in trace.degraded for reason in _STORE_AWAY)
        try:
            async with asyncio.timeout(deadline.left()):
                stored = (
                    known_from_retrieval(retrieval)
                    if away
                    else await stored_items(ranking.items, parts.catalog, query.pin)
                )
        except (StoreUnavailable, TimeoutError) as error:
            trace.degrade(Stage.VERIFY, _without_store(error, parts))
            stored = known_from_retrieval(retrieval)
        return verify(ranking, stored, retrieval, query, self._pool(query)), stored

    async def _narrate(
        self,
        parts: Parts,
        query: Query,
        keywords: Keywords,
        slate: Slate,
        retrieval: Retrieval,
        language: str,
        deadline: Deadline,
    ) -> AsyncGenerator[str | Narration, None]:
        items = [each.item for each in slate.items]
        shown = items[: self.settings.narrated_items]
        titles = [item.title for item in items]
        others = (*(each.item.title for each in retrieval.candidates), *parts.snapshot.titles)
        checked = CheckedText(
            titles=titles[: len(shown)],
            outside=Outside.of(others, titles, query.text),
            slate=titles,
            documents=[item.document for item in shown],
            claims=parts.snapshot.claims | Claims.of(each.item for each in retrieval.candidates),
            request=query.text,
            language=language,
        )
        messages = narrate_messages(excerpt(query.text, keywords), shown, keywords.terms, language)
        if not shown:
            yield plain_answer((), language)
            yield Narration(Usage())
            return
        said = narrate(
            parts.base, messages, checked, shown, language, query.sampling.seed, deadline.share(NARRATE_SHARE)
        )
        async with aclosing(said):
            async for each in said:
                yield each


def _without_store(error: StoreUnavailable | TimeoutError, parts: Parts) -> Reason:
    """Why the store could not help; ``parts`` is told where it seems to be away."""
    if isinstance(error, StoreRefused):
        return Reason.REFUSED
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT  # the request was in a hurry: that says nothing of the store
    parts.on_store_lost(str(error))
    return Reason.NO_STORE


async def _rank_and_count(
    tuned: TunedModel, prompt: RankPrompt, query: Query, trace: Trace, deadline: Deadline
) -> tuple[Ranking, int | None]:
    """The list, and the tokens of the plain prompt, which are counted while the model works; None: not in time."""
    counting = asyncio.ensure_future(tuned.tokens.of_whole([message.content for message in prompt.plain]))
    try:
        ranking = await _rank(tuned.model, prompt, query, trace, deadline)
        if ranking.items:
            await asyncio.wait({counting}, timeout=min(PLAIN_COUNT_SECONDS, deadline.left()))
        return ranking, counting.result() if counting.done() else None
    finally:
        counting.cancel()


async def _rank(model: Model, prompt: RankPrompt, query: Query, trace: Trace, deadline: Deadline) -> Ranking:
    """The tuned model's list; empty, and noted as degraded, where there is none."""
    try:
        async with asyncio.timeout(deadline.left()):
            return await RANKERS[query.mode](model).rank(prompt, query)
    except TimeoutError:
        trace.degrade(Stage.RANK, Reason.TIMEOUT)
    except RankFailed:
        trace.degrade(Stage.RANK, Reason.INVALID_ANSWER)
    except UpstreamError as error:
        trace.degrade(Stage.RANK, reason_of(error))
    return Ranking((), Usage())


def _explain(
    keywords: Keywords,
    retrieval: Retrieval,
    prompt: RankPrompt | None,
    ruled: Ruled,
    made: tuple[Journey, ...],
) -> Explanation:
    return Explanation(
        keywords=keywords,
        candidates=len(retrieval.candidates),
        known_user=retrieval.user is not None,
        history=len(retrieval.history),
        left_out_of_prompt=prompt.left_out if prompt else 0,
        without_token=len(prompt.nameless) if prompt else 0,
        personal=retrieval.signals.user_vector is not None,
        not_pinned=ruled.not_pinned,
        journeys=made,
    )
