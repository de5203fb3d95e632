"""Why an item fits a request: one number an arm, computed from vectors and words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from recsys_gateway.catalog.rows import StoredItem
from recsys_gateway.recommend.inflection import stem, stems
from recsys_gateway.recommend.stages import Arm, Signals, Vector

_HAIR = 1e-6


def evidence(stored: StoredItem, signals: Signals) -> dict[Arm, float]:
    """The evidence for one item, as ``Candidate`` documents it.

    An arm for which the request gives no signal is absent; so is ``history`` for an item without a collaborative
    vector (new in the catalogue).
    """
    found: dict[Arm, float] = {}
    if signals.query_vector is not None:
        found[Arm.TEXT] = float(stored.text @ signals.query_vector)
    if signals.terms:
        held = stems(stored.item.document)
        found[Arm.KEYWORDS] = sum(stem(term) in held for term in signals.terms) / len(signals.terms)
    if signals.user_vector is not None and stored.collaborative is not None:
        found[Arm.HISTORY] = float(stored.collaborative @ signals.user_vector)
    if signals.popular:
        found[Arm.POPULAR] = stored.popularity
    return found


def thresholds(candidates: Iterable[Mapping[Arm, float]]) -> dict[Arm, float]:
    """From where on an arm's evidence confirms an item: its mean over the candidates, and never 0 or less.

    A mean, since the scale differs from embedder to embedder and from catalogue to catalogue; a hair below it, so that
    equal evidence confirms whatever rounding does.
    """
    found: dict[Arm, list[float]] = {}
    for each in candidates:
        for arm, value in each.items():
            found.setdefault(arm, []).append(value)
    return {arm: max(fmean(values) - _HAIR, _HAIR) for arm, values in found.items()}


def confirming(found: Mapping[Arm, float], limits: Mapping[Arm, float]) -> tuple[Arm, ...]:
    """The arms that confirm an item with the evidence ``found``, in the order of ``Arm``."""
    return tuple(arm for arm in Arm if arm in found and found[arm] >= limits.get(arm, _HAIR))


def mean_direction(vectors: Sequence[Vector]) -> Vector | None:
    """The mean of ``vectors`` at unit length; None where there are none or they cancel out."""
    if not vectors:
        return None
    mean: Vector = np.mean(np.stack(vectors), axis=0, dtype=np.float32)
    length = np.float32(np.linalg.norm(mean))
    return mean / length if length > 1e-6 else None
