"""Stage 5: each item of the tuned model against the store, and gaps filled from retrieval. Pure but for one read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.evidence import confirming, evidence, thresholds
from recsys_gateway.recommend.retrieve import Catalog
from recsys_gateway.recommend.stages import (
    Arm,
    Candidate,
    Query,
    Rejection,
    Retrieval,
    Scored,
    Verified,
    VerifiedItem,
)

TUNED = "tuned"
_OF_THE_REQUEST = frozenset({Arm.TEXT, Arm.KEYWORDS})
CONFIRMATION = 0.25
"""By how much the score of an item rises that every arm of retrieval confirms."""


async def stored_items(ranked: Sequence[Scored], catalog: Catalog) -> Mapping[str, StoredItem]:
    """What the store holds of the ranked ids now.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return await catalog.items(list(dict.fromkeys(each.item_id for each in ranked))) if ranked else {}


def verify(
    ranked: Sequence[Scored], stored: Mapping[str, StoredItem], retrieval: Retrieval, query: Query, pool: int
) -> Verified:
    """The ranked items that ``stored`` knows and the query allows, then candidates not ranked, up to ``pool``.

    Scores: the item at place i (from 0) of n ranked ones that stay scores ``b (1 + 0.25 c)``, where b = 1 - i/n is
    what the tuned model says, and c the share of the searched arms that confirm the item: an arm does so where its
    evidence is at least the mean over the candidates. A filler scores ``r / (n + 1)``, with r from 1 down to 0 in the
    order of retrieval: below every ranked item, since b >= 1/n. Best first, ties by id.

    Where something was asked for, a candidate that only the history speaks for fills a gap but is no choice for
    diversity: a lamp would make a list of jackets more diverse, and worse.
    """
    rejected: Counter[Rejection] = Counter()
    kept: dict[str, StoredItem] = {}
    for each in ranked:
        reason = _rejection(each.item_id, kept, stored, retrieval, query)
        if reason is None:
            kept[each.item_id] = stored[each.item_id]
        else:
            rejected[reason] += 1
    known = {candidate.item.id: candidate.evidence for candidate in retrieval.candidates}
    limits = thresholds(known.values())
    items = []
    for place, (item_id, item) in enumerate(kept.items()):
        found = known[item_id] if item_id in known else evidence(item, retrieval.signals)
        items.append(_ranked_item(item, 1 - place / len(kept), found, limits))
    gap = query.size - len(items)
    fillers = _on_topic([each for each in retrieval.candidates if each.item.id not in kept], limits, gap)
    items += _fillers(fillers[: max(0, pool - len(items))], len(kept), limits)
    items.sort(key=lambda item: (-item.score, item.item.id))
    return Verified(tuple(items), dict(rejected))


def known_from_retrieval(retrieval: Retrieval) -> Mapping[str, StoredItem]:
    """The candidates as if the store had been asked: what verification goes by while the store is away."""
    return {each.item.id: StoredItem(each.item, each.vector, None, 0.0) for each in retrieval.candidates}


def _rejection(
    item_id: str, kept: Mapping[str, StoredItem], stored: Mapping[str, StoredItem], retrieval: Retrieval, query: Query
) -> Rejection | None:
    """Why an item of the tuned model is dropped; the first reason that holds."""
    found = stored.get(item_id)
    if found is None:
        return Rejection.UNKNOWN
    if item_id in kept:
        return Rejection.DUPLICATE
    if not found.item.in_stock:
        return Rejection.OUT_OF_STOCK
    if not query.filters.matches(found.item):
        return Rejection.FILTERED
    return Rejection.SEEN if item_id in retrieval.seen else None


def _ranked_item(
    stored: StoredItem, base: float, found: Mapping[Arm, float], limits: Mapping[Arm, float]
) -> VerifiedItem:
    arms = confirming(found, limits)
    share = len(arms) / len(limits) if limits else 0.0
    score = base * (1 + CONFIRMATION * share)
    return VerifiedItem(stored.item, score, (TUNED, *arms), stored.text, found)


def _on_topic(candidates: Sequence[Candidate], limits: Mapping[Arm, float], gap: int) -> list[Candidate]:
    """Candidates that the request's words confirm; others only as far as ``gap`` needs them. In the same order."""
    if not _OF_THE_REQUEST & limits.keys():
        return list(candidates)
    confirmed = [bool(_OF_THE_REQUEST & set(confirming(each.evidence, limits))) for each in candidates]
    others = max(0, gap - sum(confirmed))
    chosen = []
    for each, on_topic in zip(candidates, confirmed, strict=True):
        if on_topic:
            chosen.append(each)
        elif others > 0:
            chosen.append(each)
            others -= 1
    return chosen


def _fillers(candidates: Sequence[Candidate], ranked: int, limits: Mapping[Arm, float]) -> list[VerifiedItem]:
    return [
        VerifiedItem(
            item=each.item,
            score=(1 - place / len(candidates)) / (ranked + 1),
            confirmed_by=confirming(each.evidence, limits),
            vector=each.vector,
            evidence=each.evidence,
        )
        for place, each in enumerate(candidates)
    ]
