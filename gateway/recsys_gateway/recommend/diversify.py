"""Stage 6: the slate, by maximal marginal relevance, and how diverse it is. Pure: the same input, the same slate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.recommend.stages import Ild, Slate, VerifiedItem

Matrix = NDArray[np.float32]
Counts = NDArray[np.int64]

TARGET_STEPS = 40
"""Steps of lambda that are tried for a target: ILD is no monotone function of lambda, so all are looked at."""
NEAR = 0.01
"""How close to a target is close enough: what is nearer is not worth relevance."""


def diversify(
    items: Sequence[VerifiedItem],
    size: int,
    mmr_lambda: float,
    target_ild: float | None = None,
    first: Sequence[VerifiedItem] = (),
) -> Slate:
    """``first``, then ``size`` of ``items`` (fewer where there are fewer), in the order in which they were chosen.

    With ``target_ild`` the lambda is chosen instead of given: the one whose slate comes closest to that cosine ILD,
    and of several the highest, which costs the least relevance.
    """
    if first:
        rest = diversify(items, size, mmr_lambda, target_ild).items if size > 0 else ()
        return measured((*first, *rest))
    if not items:
        return Slate((), Ild(0.0, 0.0))
    vectors = unit_rows([item.vector for item in items])
    cosines: Matrix = vectors @ vectors.T
    similarity = likeness(cosines, [item.item.categories for item in items])
    relevance = _scaled(np.array([item.score for item in items], np.float32))
    if target_ild is None:
        chosen = mmr(relevance, similarity, size, mmr_lambda)
    else:
        chosen = _closest(relevance, similarity, cosines, size, target_ild)
    slate = tuple(items[index] for index in chosen)
    return Slate(slate, Ild(cosine_ild(cosines, chosen), genre_ild([item.item.categories for item in slate])))


def measured(items: tuple[VerifiedItem, ...]) -> Slate:
    """``items`` in this order, with how diverse they are."""
    vectors = unit_rows([item.vector for item in items])
    cosine = cosine_ild(vectors @ vectors.T, range(len(items)))
    return Slate(items, Ild(cosine, genre_ild([item.item.categories for item in items])))


def likeness(cosines: Matrix, categories: Sequence[Sequence[str]]) -> Matrix:
    """How alike items are: the mean of the cosine and of the share of categories in common (Jaccard).

    Text alone hardly tells genres apart; where one of two items has no category it has to.
    """
    shared, union = _common(categories)
    in_common = np.divide(shared, union, out=np.zeros(shared.shape, np.float32), where=union > 0, casting="unsafe")
    categorised = np.array([len(set(each)) > 0 for each in categories])
    both = categorised[:, None] & categorised[None, :]
    alike: Matrix = np.where(both, (cosines + in_common) / 2, cosines).astype(np.float32)
    return alike


def mmr(relevance: Matrix, similarity: Matrix, size: int, mmr_lambda: float) -> list[int]:
    """Indices by maximal marginal relevance (Carbonell, Goldstein, 1998), in the order of choice.

    Each next one maximises lambda * relevance - (1 - lambda) * the highest similarity to what is chosen already.
    ``relevance`` [n] lies in 0..1; ``similarity`` [n, n]. Ties go to the lower index.
    """
    size = min(size, len(relevance))
    closest = np.zeros_like(relevance)
    free = np.ones(len(relevance), bool)
    chosen: list[int] = []
    while len(chosen) < size:
        marginal = mmr_lambda * relevance - (1 - mmr_lambda) * closest
        best = int(np.argmax(np.where(free, marginal, -np.inf)))
        chosen.append(best)
        free[best] = False
        closest = np.maximum(closest, similarity[best]) if len(chosen) > 1 else similarity[best].copy()
    return chosen


def cosine_ild(similarity: Matrix, chosen: Sequence[int]) -> float:
    """Mean of 1 - cosine over the pairs of ``chosen``; 0 for fewer than two."""
    if len(chosen) < 2:
        return 0.0
    part = similarity[np.ix_(chosen, chosen)].astype(np.float64)
    return float(1 - part[np.triu_indices(len(chosen), 1)].mean())


def genre_ild(categories: Sequence[Sequence[str]]) -> float:
    """Mean Jaccard distance of the sets of categories over all pairs; 0 for fewer than two, and for two empty sets."""
    if len(categories) < 2:
        return 0.0
    shared, union = _common(categories)
    distance = 1 - np.divide(shared, union, out=np.ones(shared.shape, np.float64), where=union > 0)
    return float(distance[np.triu_indices(len(categories), 1)].mean())


def _common(categories: Sequence[Sequence[str]]) -> tuple[Counts, Counts]:
    """For each two sets of categories: how many both have, and how many there are in all."""
    names = {name: column for column, name in enumerate(sorted({each for row in categories for each in row}))}
    held = np.zeros((len(categories), max(1, len(names))), np.int64)
    for row, each in enumerate(categories):
        held[row, [names[name] for name in each]] = 1
    shared = held @ held.T
    sizes = held.sum(axis=1)
    return shared, sizes[:, None] + sizes[None, :] - shared


def unit_rows(vectors: Sequence[NDArray[np.float32]]) -> Matrix:
    """``vectors`` as rows of length 1; a row without length stays zero, and is similar to nothing."""
    rows = np.stack(vectors).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-12)
    return scaled


def _closest(relevance: Matrix, similarity: Matrix, cosines: Matrix, size: int, target: float) -> list[int]:
    """The slate of the lambda that comes closest, the highest of several.

    Where none comes close enough single items are exchanged: in that slate first, then in the most diverse one and in
    the most uniform one, from which the rest can be reached.
    """

    def off(chosen: Sequence[int]) -> float:
        return abs(cosine_ild(cosines, chosen) - target)

    best: list[int] = []
    distance = np.inf
    for step in range(TARGET_STEPS, -1, -1):
        chosen = mmr(relevance, similarity, size, step / TARGET_STEPS)
        if off(chosen) < distance - 1e-9:
            best, distance = chosen, off(chosen)
    starts = [best, mmr(relevance, cosines, size, 0.0), mmr(relevance, -cosines, size, 0.0)]
    for start in starts if distance > NEAR else ():
        exchanged = _exchanged(start, relevance, cosines, target)
        if off(exchanged) < distance - 1e-9:
            best, distance = exchanged, off(exchanged)
        if distance <= NEAR:
            break
    return best


def _exchanged(chosen: list[int], relevance: Matrix, cosines: Matrix, target: float) -> list[int]:
    """``chosen`` with items exchanged one by one, as long as that brings the ILD closer to ``target``.

    Of the exchanges that come close enough, the one that costs the least relevance. What is new stands at the end.
    """
    slate = list(chosen)
    pairs = len(slate) * (len(slate) - 1) / 2
    while len(slate) > 1 and (off := abs(cosine_ild(cosines, slate) - target)) > NEAR:
        held = np.array(slate)
        others = np.setdiff1d(np.arange(len(relevance)), held)
        if not len(others):
            break
        inside = cosines[np.ix_(held, held)].astype(np.float64)
        between = cosines[np.ix_(others, held)].astype(np.float64)
        leaves = inside.sum(axis=1) - inside.diagonal()
        # [new, old]: the sum of similarities after one exchange
        after = leaves.sum() / 2 - leaves[None, :] + between.sum(axis=1)[:, None] - between
        left = np.abs(1 - after / pairs - target)
        cost = relevance[held][None, :] - relevance[others][:, None]
        close = left <= NEAR
        best = np.argmin(np.where(close, cost, np.inf)) if close.any() else np.argmin(left)
        new, old = np.unravel_index(int(best), left.shape)
        if left[new, old] >= off - 1e-9:
            break
        del slate[int(old)]
        slate.append(int(others[new]))
    return slate


def _scaled(scores: Matrix) -> Matrix:
    """Scores as 0..1, lowest to highest; all 1 where they are equal."""
    low, high = float(scores.min()), float(scores.max())
    scaled: Matrix = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return scaled
