"""What a set of lists is worth: the figures of one model on one split. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item
from recsys_gateway.recommend.diversify import cosine_ild, genre_ild

from recsys_finetune.evaluation.metrics import (
    coverage,
    gini,
    mrr_at,
    ndcg_at,
    novelty,
    out_of_catalogue,
    rank_of,
    recall_at,
)
from recsys_finetune.evaluation.protocol import Case

CUT = 10
DEPTH = 20


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over the cases. ILD: mean pairwise distance within the first ten, 1 - cosine of text vectors and Jaccard
    distance of categories; ``ild_cosine`` is None where no embedder was given. ``novelty`` is in bits."""

    recall_at_10: float
    ndcg_at_10: float
    mrr_at_10: float
    recall_at_20: float
    ild_cosine: float | None
    ild_genre: float
    coverage: float
    gini: float
    novelty: float
    out_of_catalogue: float

    def rounded(self) -> dict[str, float | None]:
        """By name, to four decimals."""
        return {name: None if value is None else round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """What lists are measured against.

    ``items`` are all there are, ``catalogue`` those that are ranked; ``vectors`` the text vectors of ``items``, unit
    length (empty: no embedder); ``histories`` is what popularity is counted from.
    """

    items: Mapping[str, Item]
    catalogue: frozenset[str]
    vectors: Mapping[str, NDArray[np.float32]]
    histories: Mapping[str, Sequence[str]]


def summarise(cases: Sequence[Case], lists: Sequence[Sequence[str]], shelf: Shelf) -> Figures:
    """The figures of ``lists``, one a case.

    Raises:
        ValueError: there are no cases, or not as many lists as cases.
    """
    if not cases:
        raise ValueError("nobody has a history that is long enough to be asked")
    ranks = [rank_of(case.target, ranked) for case, ranked in zip(cases, lists, strict=True)]
    buyers = Counter(item for history in shelf.histories.values() for item in set(history))
    known = [[item for item in ranked[:CUT] if item in shelf.items] for ranked in lists]
    return Figures(
        recall_at_10=fmean(recall_at(rank, CUT) for rank in ranks),
        ndcg_at_10=fmean(ndcg_at(rank, CUT) for rank in ranks),
        mrr_at_10=fmean(mrr_at(rank, CUT) for rank in ranks),
        recall_at_20=fmean(recall_at(rank, DEPTH) for rank in ranks),
        ild_cosine=fmean(_cosine(ranked, shelf) for ranked in known) if shelf.vectors else None,
        ild_genre=fmean(genre_ild([shelf.items[item].categories for item in ranked]) for ranked in known),
        coverage=coverage(lists, shelf.catalogue, CUT),
        gini=gini(lists, shelf.catalogue, CUT),
        novelty=novelty(lists, buyers, len(shelf.histories), CUT),
        out_of_catalogue=out_of_catalogue(lists, shelf.items.keys()),
    )


def _cosine(ranked: Sequence[str], shelf: Shelf) -> float:
    if len(ranked) < 2:
        return 0.0
    vectors = np.stack([shelf.vectors[item] for item in ranked])
    return cosine_ild(vectors @ vectors.T, range(len(ranked)))
