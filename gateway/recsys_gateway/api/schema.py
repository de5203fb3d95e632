"""The bodies of ``POST /v1/recommendations``."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from recsys_gateway.config import RankingMode

MAX_QUERY = 10_000
MAX_FILTERS = 32
MAX_SEED = 2**31 - 1

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]

_EXAMPLES: list[JsonValue] = [
    {"query": "a light jacket for rainy hikes", "user_id": "17", "k": 5},
    {"query": "비 오는 날 등산용 재킷", "filters": {"price": {"lte": 150}, "categories": "Jackets"}, "narrate": False},
    {"user_id": "17", "k": 10, "diversity": {"target_ild": 0.8}, "seed": 7, "stream": True},
]


_ANSWER_EXAMPLE: dict[str, JsonValue] = {
    "id": "rec-0f3c9a",
    "items": [
        {
            "id": "JKT-010",
            "title": "Ridgeline Raven Rain Jacket",
            "score": 1.166667,
            "reason": "matches rainy, jacket, hikes; close to your request",
            "confirmed_by": ["tuned", "text", "keywords"],
            "price": 49.95,
            "categories": ["Jackets", "Hiking"],
        }
    ],
    "answer": "For rainy hikes, take Ridgeline Raven Rain Jacket.",
    "ild": {"cosine": 0.0, "genre": 0.0},
    "tokens": {
        "prompt": 380,
        "completion": 35,
        "plain_prompt": 1860,
        "saved": 1560,
        "by_stage": {"rank": {"prompt": 300, "completion": 20}, "narrate": {"prompt": 80, "completion": 15}},
    },
    "timings_ms": {"retrieve": 17.1, "rank": 24.0, "narrate": 21.7, "total": 70.2},
    "degraded": [],
    "rejected": {},
    "seed": 7,
    "language": "en",
    "models": {"tuned": {"name": "tuned", "sample": True}, "base": {"name": "base", "sample": True}},
}


class Strict(BaseModel):
    """Fields that do not exist are refused: a misspelt one would otherwise do nothing, silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DiversityRequest(Strict):
    """Either the lambda of maximal marginal relevance (1: relevance alone), or the cosine ILD to come close to."""

    mmr_lambda: Annotated[Number | None, Field(alias="lambda", ge=0, le=1)] = None
    target_ild: Annotated[Number | None, Field(ge=0, le=1)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.mmr_lambda is not None and self.target_ild is not None:
            raise ValueError("lambda and target_ild exclude each other")
        return self


class RulesRequest(Strict):
    """What the business asks of the list, whatever the models say."""

    must: dict[str, Any] = Field(
        default_factory=dict, max_length=MAX_FILTERS, description="As `filters`: every item passes all of them."
    )
    must_not: dict[str, Any] = Field(
        default_factory=dict, max_length=MAX_FILTERS, description="As `filters`: no item passes any of them."
    )
    pin: list[Id] = Field(
        default_factory=list,
        max_length=20,
        description="Items that come first, in this order; they need be in stock, and nothing else.",
    )
    cap_per_category: Annotated[int | None, Field(strict=True, ge=1, le=100)] = Field(
        default=None, description="Items of one category, at most."
    )


class RecommendationRequest(Strict):
    """A question, a customer, or both. Without either, popular items come."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": _EXAMPLES})

    query: str = Field(default="", max_length=MAX_QUERY, description="In the customer's own words.")
    user_id: Id | None = Field(default=None, description="One that is not known is a cold customer, no error.")
    k: Annotated[int | None, Field(strict=True, ge=1, le=100, description="Items to answer.")] = None
    filters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MAX_FILTERS,
        description="field: value, or field: {gte, lte, gt, lt, in: [...]}; joined by and.",
    )
    mode: RankingMode | None = Field(default=None, description="How the tuned model makes its list.")
    temperature: Annotated[Number | None, Field(ge=0, le=5)] = None
    top_k: Annotated[int | None, Field(strict=True, ge=1, le=100_000)] = None
    top_p: Annotated[Number | None, Field(gt=0, le=1)] = None
    diversity: DiversityRequest = DiversityRequest()
    seed: Annotated[int | None, Field(strict=True, ge=0, le=MAX_SEED)] = Field(
        default=None, description="The same request with the same seed gives the same answer; absent: drawn, and told."
    )
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] | None = Field(
        default=None, description="ISO 639-1, of the sentence and the reasons; absent: the language of the query."
    )
    narrate: Flag = Field(default=True, description="Whether the base model writes a sentence.")
    exclude_seen: Flag = Field(default=True, description="Leave out what the customer's history holds.")
    stream: Flag = Field(default=False, description="Answer as server-sent events: items, delta, done, error.")
    explain: Flag = Field(default=False, description="Add how the answer came about.")
    rules: RulesRequest = RulesRequest()
    history: list[Id] | None = Field(
        default=None, max_length=100, description="Item ids, oldest first; takes the place of the stored history."
    )


class ItemAnswer(BaseModel):
    id: str
    title: str
    score: float = Field(description="Higher is better; the order of items is that of diversification.")
    reason: str
    confirmed_by: list[str] = Field(description="Of: tuned, text, keywords, history, popular.")
    price: float | None
    categories: list[str]


class IldAnswer(BaseModel):
    """Intra-list diversity: mean pairwise distance, cosine of text vectors and Jaccard of categories."""

    cosine: float
    genre: float


class StageTokens(BaseModel):
    prompt: int
    completion: int


class TokensAnswer(BaseModel):
    """By the engines' own counts. ``plain_prompt``: full documents, whole history, nothing left out."""

    prompt: int
    completion: int
    plain_prompt: int | None
    saved: int | None = Field(description="plain_prompt less the ranking prompt that was sent.")
    by_stage: dict[str, StageTokens]


class DegradedAnswer(BaseModel):
    stage: str
    reason: str
    detail: str


class ModelAnswer(BaseModel):
    name: str
    sample: bool = Field(description="One of recsys's own sample models.")


class ItemExplanation(BaseModel):
    id: str
    evidence: dict[str, float]


class JourneyAnswer(BaseModel):
    """What each stage did to an item; places count from 1, null: the stage did not see or choose it."""

    id: str
    retrieved_place: int | None = Field(description="Among the candidates.")
    retrieved_score: float | None = Field(description="Fused from all searches (RRF).")
    evidence: dict[str, float]
    in_prompt: bool = Field(description="Whether the tuned model was shown it.")
    ranked_place: int | None = Field(description="In the tuned model's own list.")
    dropped: str | None = Field(description="Why verification let it go.")
    verified_score: float | None
    rule: str | None = Field(description="`pinned` or `capped`.")
    place: int | None = Field(description="In the answer.")


class ExplanationAnswer(BaseModel):
    keywords: list[str]
    language: str
    candidates: int
    known_user: bool
    personal: bool
    history: int
    left_out_of_prompt: int
    without_token: int = Field(description="Candidates that the tuned model has no token for: retrieval ranked them.")
    items: list[ItemExplanation]
    not_pinned: dict[str, str] = Field(description="Pinned ids that are not shown: unknown or out_of_stock.")
    journey: list[JourneyAnswer] = Field(description="Every item that any stage knew of, those of the answer first.")


class RecommendationAnswer(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER_EXAMPLE]})

    id: str
    items: list[ItemAnswer]
    answer: str | None = Field(description="The sentence; null where none was asked for.")
    ild: IldAnswer
    tokens: TokensAnswer
    timings_ms: dict[str, float] = Field(description="By stage, and total.")
    degraded: list[DegradedAnswer] = Field(description="What was left out, and why; empty where all went well.")
    rejected: dict[str, int] = Field(description="Items of the tuned model that verification dropped, by reason.")
    seed: int
    language: str
    models: dict[str, ModelAnswer]
    explanation: ExplanationAnswer | None = None


class ProblemBody(BaseModel):
    """An error (RFC 9457). ``errors`` are the fields that are wrong: ``path`` and ``message`` of each."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] = Field(default_factory=list)
