"""What a sentence encoder answers -> unit vectors, whoever ran it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a sentence encoder may take; the first two it must."""
_OUTPUTS = ("sentence_embedding", "last_hidden_state")


class EmbedderError(Exception):
    """An embedder that cannot be used, or whose answer is unusable; the message names file or address, and says why."""


def output_name(names: Iterable[str], source: str) -> str:
    """Which of a model's outputs is taken.

    Raises:
        EmbedderError: none of them can be.
    """
    given = list(names)
    for name in _OUTPUTS:
        if name in given:
            return name
    raise EmbedderError(f"{source}: gives {', '.join(given)}, where {' or '.join(_OUTPUTS)} is needed")


def unit_vectors(output: object, mask: NDArray[np.int64] | None, source: str) -> NDArray[np.float32]:
    """``output``, one vector a text, or one a token that ``mask`` averages, as rows of length 1.

    A text that the model has nothing to say of (a vector of zeros) gets the same fixed vector each time.

    Raises:
        EmbedderError: other numbers than that.
    """
    try:
        vectors = np.asarray(output, np.float32)
    except (TypeError, ValueError):
        raise EmbedderError(f"{source}: answered something else than vectors of one length") from None
    if vectors.ndim == 3 and mask is not None:
        vectors = (vectors * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)
    if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise EmbedderError(f"{source}: answered {vectors.shape} numbers, not all finite or not one vector a text")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = np.float32(1 / np.sqrt(vectors.shape[1]))
    return np.where(norms > 1e-12, vectors / np.maximum(norms, np.float32(1e-12)), flat).astype(np.float32)
