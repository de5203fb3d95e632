"""What the pipeline gives back, in the order in which it comes: the items, pieces of the sentence, the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys_gateway.recommend.degradation import Degradation
from recsys_gateway.recommend.journey import Journey
from recsys_gateway.recommend.stages import Ild, Keywords, Rejection, Stage, Usage, VerifiedItem


@dataclass(frozen=True, slots=True, eq=False)
class AnswerItem:
    """An item of the slate, with its reason in the language of the answer."""

    verified: VerifiedItem
    reason: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by the engines' own counts. ``plain_prompt`` is what the plain ranking prompt would have taken.

    It is counted without the chat template's own tokens, which ``rank.prompt`` holds: the saving is not overstated.
    None where the engine cannot count, or no ranking prompt was sent.
    """

    rank: Usage
    narrate: Usage
    plain_prompt: int | None

    @property
    def saved(self) -> int | None:
        """None where nothing was sent that could have been longer."""
        return None if self.plain_prompt is None or not self.rank.prompt else self.plain_prompt - self.rank.prompt


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the answer came about, for ``explain``."""

    keywords: Keywords
    candidates: int
    known_user: bool
    history: int
    left_out_of_prompt: int
    without_token: int
    personal: bool
    not_pinned: Mapping[str, str] = field(default_factory=dict)
    journeys: tuple[Journey, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemsReady:
    """The slate is settled."""

    items: tuple[AnswerItem, ...]
    ild: Ild


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the sentence, checked."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything. ``timings_ms`` is milliseconds by stage, with ``total``; a stage that was skipped is absent."""

    items: tuple[AnswerItem, ...]
    text: str | None
    ild: Ild
    tokens: Tokens
    timings_ms: Mapping[str, float]
    degraded: tuple[Degradation, ...]
    rejected: Mapping[Rejection, int]
    explanation: Explanation
    language: str

    def milliseconds(self, stage: Stage) -> float:
        return self.timings_ms.get(stage.value, 0.0)


Event = ItemsReady | Delta | Answer
