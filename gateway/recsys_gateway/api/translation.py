"""Between the bodies of the API and the values of the pipeline. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from recsys_gateway.api.schema import (
    DegradedAnswer,
    ExplanationAnswer,
    IldAnswer,
    ItemAnswer,
    ItemExplanation,
    JourneyAnswer,
    ModelAnswer,
    RecommendationAnswer,
    RecommendationRequest,
    StageTokens,
    TokensAnswer,
)
from recsys_gateway.catalog.filters import Filters
from recsys_gateway.config import GatewayConfig, Recommendation, Role
from recsys_gateway.recommend.answer import Answer, AnswerItem, Tokens
from recsys_gateway.recommend.journey import Journey
from recsys_gateway.recommend.stages import Ild, Query, Sampling, Stage, Usage

SCORE_DIGITS = 6
MILLISECOND_DIGITS = 3


def query_of(request: RecommendationRequest, settings: Recommendation, filters: Filters, seed: int) -> Query:
    """The request with its defaults filled in. ``seed`` is the request's own, or one that was drawn for it."""
    wished = request.diversity
    target = wished.target_ild if wished.target_ild is not None else settings.diversity.target_ild
    return Query(
        text=request.query,
        user_id=request.user_id,
        size=request.k or settings.size,
        mode=request.mode or settings.mode,
        sampling=Sampling(request.temperature, request.top_k, request.top_p, seed),
        mmr_lambda=settings.diversity.mmr_lambda if wished.mmr_lambda is None else wished.mmr_lambda,
        target_ild=target if wished.mmr_lambda is None else None,
        language=request.language,
        exclude_seen=request.exclude_seen,
        narrate=request.narrate,
        filters=filters,
        history=None if request.history is None else tuple(request.history),
        pin=tuple(request.rules.pin),
        category_cap=request.rules.cap_per_category,
    )


def models_of(config: GatewayConfig) -> dict[str, ModelAnswer]:
    """The models that answer, by role."""
    models = {role.value: config.model(role) for role in Role}
    return {role: ModelAnswer(name=model.name, sample=model.sample) for role, model in models.items() if model}


def item_of(each: AnswerItem) -> ItemAnswer:
    item = each.verified.item
    return ItemAnswer(
        id=item.id,
        title=item.title,
        score=round(each.verified.score, SCORE_DIGITS),
        reason=each.reason,
        confirmed_by=list(each.verified.confirmed_by),
        price=item.price,
        categories=list(item.categories),
    )


def ild_of(ild: Ild) -> IldAnswer:
    return IldAnswer(cosine=round(ild.cosine, SCORE_DIGITS), genre=round(ild.genre, SCORE_DIGITS))


def answer_of(
    answer: Answer, answer_id: str, seed: int, models: Mapping[str, ModelAnswer], *, explain: bool
) -> RecommendationAnswer:
    return RecommendationAnswer(
        id=answer_id,
        items=[item_of(each) for each in answer.items],
        answer=answer.text,
        ild=ild_of(answer.ild),
        tokens=_tokens(answer.tokens),
        timings_ms={name: round(value, MILLISECOND_DIGITS) for name, value in answer.timings_ms.items()},
        degraded=[DegradedAnswer(stage=each.stage, reason=each.reason, detail=each.detail) for each in answer.degraded],
        rejected={reason.value: count for reason, count in answer.rejected.items()},
        seed=seed,
        language=answer.language,
        models=dict(models),
        explanation=_explanation(answer) if explain else None,
    )


def _tokens(tokens: Tokens) -> TokensAnswer:
    def stage(usage: Usage) -> StageTokens:
        return StageTokens(prompt=usage.prompt, completion=usage.completion)

    return TokensAnswer(
        prompt=tokens.rank.prompt + tokens.narrate.prompt,
        completion=tokens.rank.completion + tokens.narrate.completion,
        plain_prompt=tokens.plain_prompt,
        saved=tokens.saved,
        by_stage={Stage.RANK.value: stage(tokens.rank), Stage.NARRATE.value: stage(tokens.narrate)},
    )


def _explanation(answer: Answer) -> ExplanationAnswer:
    known = answer.explanation
    return ExplanationAnswer(
        keywords=list(known.keywords.terms),
        language=known.keywords.language,
        candidates=known.candidates,
        known_user=known.known_user,
        personal=known.personal,
        history=known.history,
        left_out_of_prompt=known.left_out_of_prompt,
        without_token=known.without_token,
        items=[
            ItemExplanation(
                id=each.verified.item.id,
                evidence={arm.value: round(value, SCORE_DIGITS) for arm, value in each.verified.evidence.items()},
            )
            for each in answer.items
        ],
        not_pinned=dict(known.not_pinned),
        journey=[_journey(each) for each in known.journeys],
    )


def _journey(each: Journey) -> JourneyAnswer:
    return JourneyAnswer(
        id=each.item_id,
        retrieved_place=each.retrieved_place,
        retrieved_score=_rounded(each.retrieved_score),
        evidence={arm.value: round(value, SCORE_DIGITS) for arm, value in (each.evidence or {}).items()},
        in_prompt=each.in_prompt,
        ranked_place=each.ranked_place,
        dropped=each.dropped,
        verified_score=_rounded(each.verified_score),
        rule=each.rule,
        place=each.place,
    )


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, SCORE_DIGITS)
