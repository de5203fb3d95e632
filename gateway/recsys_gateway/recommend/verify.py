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
    Ranking,
    Rejection,
    Retrieval,
    Scored,
    Verified,
    VerifiedItem,
)

TUNED = "tuned"
_OF_THE_REQUEST = frozenset({Arm.TEXT, Arm.KEYWORDS})
RETRIEVAL_WEIGHT = 0.6
"""Share of retrieval in the score. Measured on the sample shop: docs/design/measurements.md."""


async def stored_items(
    ranked: Sequence[Scored], catalog: Catalog, pinned: Sequence[str] = ()
) -> Mapping[str, StoredItem]:
    """What the store holds of the ranked and the pinned ids now.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    wanted = dict.fromkeys((*(each.item_id for each in ranked), *pinned))
    return await catalog.items(list(wanted)) if wanted else {}


def verify(
    ranking: Ranking, stored: Mapping[str, StoredItem], retrieval: Retrieval, query: Query, pool: int
) -> Verified:
    """The ranked items that ``stored`` knows and the query allows, then candidates not ranked, up to ``pool``.

    Scores: (1 - w) b + w r with w = 0.6, where b = 1 - i/n for place i (from 0) of the n ranked items that stay, and
    r = 1 - j/m for place j of m candidates; each is 0 for an item that is not there. So an item that both found is
    strengthened, and one that only one of them found has to be high up there. Best first, ties by id. An arm confirms
    an item where its evidence is at least the mean over the candidates.

    A candidate that the model could not have named (new, and without a token) scores r alone, unweighted: that it was
    not named says nothing against it.

    Where something was asked for, a candidate that only the history speaks for fills a gap but is no choice for
    diversity: a lamp would make a list of jackets more diverse, and worse.
    """
    rejected: Counter[Rejection] = Counter()
    kept: dict[str, StoredItem] = {}
    dropped: dict[str, Rejection] = {}
    for each in ranking.items:
        reason = _rejection(each.item_id, kept, stored, retrieval, query)
        if reason is None:
            kept[each.item_id] = stored[each.item_id]
        else:
            rejected[reason] += 1
            if each.item_id not in kept:
                dropped[each.item_id] = reason
    candidates = {each.item.id: each for each in retrieval.candidates}
    places = {item_id: 1 - place / len(candidates) for place, item_id in enumerate(candidates)}
    limits = thresholds(each.evidence for each in candidates.values())
    items = []
    for place, (item_id, item) in enumerate(kept.items()):
        found = candidates[item_id].evidence if item_id in candidates else evidence(item, retrieval.signals)
        score = _blend(1 - place / len(kept), places.get(item_id, 0.0))
        confirmed_by = (TUNED, *confirming(found, limits))
        items.append(VerifiedItem(item.item, score, confirmed_by, item.text, found))
    gap = query.size - len(items)
    fillers = _on_topic([each for each in candidates.values() if each.item.id not in kept], limits, gap)
    for filler in fillers[: max(0, pool - len(items))]:
        place_score = places[filler.item.id]
        score = place_score if filler.item.id in ranking.nameless else _blend(0.0, place_score)
        confirmed = confirming(filler.evidence, limits)
        items.append(VerifiedItem(filler.item, score, confirmed, filler.vector, filler.evidence))
    items.sort(key=lambda item: (-item.score, item.item.id))
    return Verified(tuple(items), dict(rejected), dropped)


def _blend(tuned: float, retrieval: float) -> float:
    return (1 - RETRIEVAL_WEIGHT) * tuned + RETRIEVAL_WEIGHT * retrieval


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
