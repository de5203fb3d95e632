"""Item vectors from what customers bought after what: a truncated SVD of co-occurrences. Pure.

``C[a, b]`` sums 1 / distance over the times that a customer took ``b`` within ``WINDOW`` events after ``a``. It is
damped by popularity, ``C[a, b] / (out(a) in(b)) ** DAMPING``, and factored, ``C ~ U S V'`` (Eckart, Young, 1936). So an
item has two sides: how it leads to others, ``U sqrt(S)``, and how it follows on them, ``V sqrt(S)``. One stored vector
holds both, follows first; a user's vector, the mean of how the history leads, is searched with against the first
half. The metric is the inner product: the length of the first half is what is left of popularity.

Measured, recall@20 / recall@10 of the second last event, all earlier ones as history, full ranking: sample shop
.404/.333 (popularity .196, undirected co-occurrence with one vector .400/.285), MovieLens 100K .360/.242 (.349/.231).
PPMI instead of the damping gives .34 on the shop, rank 64 instead of 96 a recall@10 of .31.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.linalg import svds

from recsys_gateway.catalog.user_vectors import NOTHING, RANK
from recsys_gateway.catalog.user_vectors import (
    user_vector as user_vector,  # exported: what the vectors are searched with
)

WINDOW = 20
DAMPING = 0.45

_DENSE_ITEMS = 512


def item_vectors(users: NDArray[np.int64], items: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Vectors of items ``0..count``, [count, 2 * RANK]; zeros for an item that no event stands beside.

    ``users[k]`` took ``items[k]``; the events are in the order of time. Equal input gives equal vectors, up to
    rounding.
    """
    vectors = np.zeros((count, 2 * RANK), np.float32)
    damped = _damped(_cooccurrences(users, items, count))
    known = np.unique(np.concatenate(damped.nonzero()))
    if not len(known):
        return vectors
    left, values, right = _truncated_svd(damped[known][:, known], min(RANK, len(known)))
    scale, rank = np.sqrt(values), len(values)
    leads = left * scale
    lengths = np.linalg.norm(leads, axis=1, keepdims=True)
    vectors[known, :rank] = right * scale
    vectors[known, RANK : RANK + rank] = np.where(
        lengths > NOTHING * scale[0], leads / np.maximum(lengths, NOTHING * scale[0]), 0
    )
    return vectors


def _cooccurrences(users: NDArray[np.int64], items: NDArray[np.int64], count: int) -> csr_matrix:
    order = np.argsort(users, kind="stable")
    users, items = users[order], items[order]
    total = csr_matrix((count, count), dtype=np.float64)
    for distance in range(1, WINDOW + 1):
        same = users[:-distance] == users[distance:]
        pairs = (items[:-distance][same], items[distance:][same])
        weights = np.full(len(pairs[0]), 1 / distance)
        total = total + coo_matrix((weights, pairs), shape=(count, count)).tocsr()
    return total


def _damped(counts: csr_matrix) -> csr_matrix:
    entries = counts.tocoo()
    outgoing, incoming = np.asarray(counts.sum(1)).ravel(), np.asarray(counts.sum(0)).ravel()
    damping = (outgoing[entries.row] * incoming[entries.col]) ** DAMPING
    return csr_matrix((entries.data / damping, (entries.row, entries.col)), shape=counts.shape)


def _truncated_svd(
    matrix: csr_matrix, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Up to ``rank`` largest singular triplets: left [n, r], values descending, right [n, r]; signs are fixed."""
    size = matrix.shape[0]
    if size <= _DENSE_ITEMS:
        left, values, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        # A fixed start makes the iteration, and so the vectors, repeatable.
        left, values, right = svds(matrix, k=rank, v0=np.full(size, size**-0.5), solver="arpack")
    order = np.argsort(-values, kind="stable")[:rank]
    order = order[values[order] > NOTHING * values.max()]
    left, values, right = left[:, order], values[order], right[order].T
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(len(values))])
    return left * signs, values, right * signs
