"""Stage 6: the slate, by maximal marginal relevance, and how diverse it is. Pure: the same input, the same slate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_gateway.recommend.stages import Ild, Slate, VerifiedItem

Matrix = NDArray[np.float32]

TARGET_STEPS = 40
"""Steps of lambda that are tried for a target: ILD is no monotone function of lambda, so all are looked at."""


def diversify(items: Sequence[VerifiedItem], size: int, mmr_lambda: float, target_ild: float | None = None) -> Slate:
    """``size`` of ``items`` (fewer where there are fewer), in the order in which they were chosen.

    With ``target_ild`` the lambda is chosen instead of given: the one whose slate comes closest to that cosine ILD,
    and of several the highest, which costs the least relevance.
    """
    if not items:
        return Slate((), Ild(0.0, 0.0))
    vectors = unit_rows([item.vector for item in items])
    similarity: Matrix = vectors @ vectors.T
    relevance = _scaled(np.array([item.score for item in items], np.float32))
    if target_ild is None:
        chosen = mmr(relevance, similarity, size, mmr_lambda)
    else:
        chosen = _closest(relevance, similarity, size, target_ild)
    slate = tuple(items[index] for index in chosen)
    return Slate(slate, Ild(cosine_ild(similarity, chosen), genre_ild([item.item.categories for item in slate])))


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
    names = {name: column for column, name in enumerate(sorted({each for row in categories for each in row}))}
    held = np.zeros((len(categories), max(1, len(names))), np.int64)
    for row, each in enumerate(categories):
        held[row, [names[name] for name in each]] = 1
    shared = held @ held.T
    sizes = held.sum(axis=1)
    union = sizes[:, None] + sizes[None, :] - shared
    distance = 1 - np.divide(shared, union, out=np.ones(shared.shape, np.float64), where=union > 0)
    return float(distance[np.triu_indices(len(categories), 1)].mean())


def unit_rows(vectors: Sequence[NDArray[np.float32]]) -> Matrix:
    """``vectors`` as rows of length 1; a row without length stays zero, and is similar to nothing."""
    rows = np.stack(vectors).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Matrix = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-12)
    return scaled


def _closest(relevance: Matrix, similarity: Matrix, size: int, target: float) -> list[int]:
    best: list[int] = []
    distance = np.inf
    for step in range(TARGET_STEPS, -1, -1):
        chosen = mmr(relevance, similarity, size, step / TARGET_STEPS)
        off = abs(cosine_ild(similarity, chosen) - target)
        if off < distance - 1e-9:
            best, distance = chosen, off
    return best


def _scaled(scores: Matrix) -> Matrix:
    """Scores as 0..1, lowest to highest; all 1 where they are equal."""
    low, high = float(scores.min()), float(scores.max())
    scaled: Matrix = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return scaled
