"""Vectors of item tokens to start from: what the teacher's chances after one item factor into.

L[a, b] = log P(b | a) - log P(b), double-centred, ~ U S V'. An item's vector is [V sqrt(S), U sqrt(S)]: the first half
is how it follows on others, what an output is compared with; the second how it leads to others, what an input says. A
layer then only has to move halves about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_finetune.ranking.teacher import Teacher

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SPREAD = 0.06
"""Root mean square of the entries: a little more than that of random ones, as what is known should weigh more."""
CLIP = 3.0


def lift_after_one(teacher: Teacher) -> NDArray[np.float64]:
    """L of above, (items, items)."""
    count = len(teacher.statistics.popularity)
    after = np.stack([teacher.probabilities([item], None) for item in range(count)]).astype(np.float64)
    lift = np.clip(np.log(after + 1e-9) - np.log(after.mean(axis=0) + 1e-9), -CLIP, CLIP)
    np.fill_diagonal(lift, 0.0)
    return np.asarray(lift - lift.mean(axis=1, keepdims=True))


def item_token_vectors(teacher: Teacher, width: int) -> NDArray[np.float32]:
    """Vectors of the catalogue's items, (items, width); the same for the same teacher."""
    lift = lift_after_one(teacher)
    count = len(lift)
    left, values, right = np.linalg.svd(lift, full_matrices=False)
    rank = min(width // 2, len(values))
    vectors = np.zeros((count, width))
    scale = np.sqrt(values[:rank])
    vectors[:, :rank] = right[:rank].T * scale
    vectors[:, width // 2 : width // 2 + rank] = left[:, :rank] * scale
    vectors *= SPREAD / max(float(np.sqrt(np.mean(vectors**2))), 1e-9)
    return vectors.astype(np.float32)


def start_from(model: LlamaForCausalLM, token_ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
    """Put ``vectors`` (items, width) in the place of the random ones of these tokens."""
    with torch.no_grad():
        model.get_input_embeddings().weight[torch.from_numpy(token_ids)] = torch.from_numpy(vectors)
