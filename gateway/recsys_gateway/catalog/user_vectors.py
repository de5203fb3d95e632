"""What a history leads to, as a vector to search with: see ``collaborative.py``. Pure, and needs no SciPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RANK = 96
RECENT_ITEMS = 20
"""Latest items of a history that make the user's vector."""
RECENCY = 0.75
"""Weight of an item of the history over the one after it."""
NOTHING = 1e-6
"""Lengths, and singular values, below this share of the largest are numerical noise."""


def user_vector(history: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The vector to search with for a customer with ``history``: item vectors, oldest first; length 1.

    None where there is no history, or nothing is known to follow on it.
    """
    recent = history[-RECENT_ITEMS:]
    if not recent:
        return None
    weights = RECENCY ** np.arange(len(recent) - 1, -1, -1, dtype=np.float32)
    mean = weights @ np.stack(recent)[:, RANK:]
    length = float(np.linalg.norm(mean))
    if length < NOTHING:
        return None
    return np.concatenate([mean / length, np.zeros(RANK)]).astype(np.float32)
