"""What each stage saw of each item and did to it: the long answer to "why this, and why not that". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recsys_gateway.recommend.rules import Ruled
from recsys_gateway.recommend.stages import Arm, Ranking, RankPrompt, Retrieval, Slate, Verified


@dataclass(frozen=True, slots=True)
class Journey:
    """Places count from 1. None: the stage did not see the item, or did not choose it.

    ``rule`` is what a rule did: pinned, capped. ``dropped`` is why verification let it go.
    """

    item_id: str
    retrieved_place: int | None = None
    retrieved_score: float | None = None
    evidence: Mapping[Arm, float] | None = None
    in_prompt: bool = False
    ranked_place: int | None = None
    dropped: str | None = None
    verified_score: float | None = None
    rule: str | None = None
    place: int | None = None


def journeys(
    retrieval: Retrieval, prompt: RankPrompt | None, ranking: Ranking, verified: Verified, ruled: Ruled, slate: Slate
) -> tuple[Journey, ...]:
    """Every item that any stage knew of: those of the answer first, then in the order of retrieval, then others."""
    found = {each.item.id: each for each in retrieval.candidates}
    found_places = {item_id: place for place, item_id in enumerate(found, 1)}
    shown = frozenset(prompt.tokens.values()) if prompt else frozenset()
    ranked: dict[str, int] = {}
    for rank, named in enumerate(ranking.items, 1):
        ranked.setdefault(named.item_id, rank)
    scores = {each.item.id: each.score for each in verified.items}
    rules = {each.item.id: "pinned" for each in ruled.pinned} | dict.fromkeys(ruled.capped, "capped")
    places = {each.item.id: place for place, each in enumerate(slate.items, 1)}
    made = []
    for item_id in dict.fromkeys((*places, *found, *ranked)):
        candidate = found.get(item_id)
        made.append(
            Journey(
                item_id=item_id,
                retrieved_place=found_places.get(item_id),
                retrieved_score=candidate.score if candidate else None,
                evidence=candidate.evidence if candidate else None,
                in_prompt=item_id in shown,
                ranked_place=ranked.get(item_id),
                dropped=verified.dropped.get(item_id),
                verified_score=scores.get(item_id),
                rule=rules.get(item_id),
                place=places.get(item_id),
            )
        )
    return tuple(made)
