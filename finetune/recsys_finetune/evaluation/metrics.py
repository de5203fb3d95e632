"""Metrics of top-k lists with one relevant item each, and of what a set of lists says about a catalogue. Pure.

A target that is not in the list counts zero; ranks count from 1 after doubled items are dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set


def rank_of(target: str, ranked: Sequence[str]) -> int | None:
    """The rank of ``target``, from 1, among the distinct items of ``ranked``; None where it is absent."""
    distinct = list(dict.fromkeys(ranked))
    return distinct.index(target) + 1 if target in distinct else None


def recall_at(rank: int | None, k: int) -> float:
    """1 where the target is among the first ``k`` (with one target, recall is the hit rate)."""
    return 1.0 if rank is not None and rank <= k else 0.0


def ndcg_at(rank: int | None, k: int) -> float:
    """1 / log2(1 + rank) within the first ``k``: the ideal gain of one target is 1."""
    return 1.0 / math.log2(1 + rank) if rank is not None and rank <= k else 0.0


def mrr_at(rank: int | None, k: int) -> float:
    """1 / rank within the first ``k``."""
    return 1.0 / rank if rank is not None and rank <= k else 0.0


def coverage(lists: Iterable[Sequence[str]], catalogue: Set[str], k: int) -> float:
    """Share of the catalogue that appears in at least one list."""
    shown = {item for ranked in lists for item in ranked[:k]}
    return len(shown & catalogue) / len(catalogue) if catalogue else 0.0


def gini(lists: Iterable[Sequence[str]], catalogue: Set[str], k: int) -> float:
    """Gini coefficient of how often each item of the catalogue is shown: 0 all alike, near 1 a few get everything.

    G = sum_i (2 i - n - 1) x_i / (n sum x), x ascending, i from 1.
    """
    counts = Counter(item for ranked in lists for item in ranked[:k])
    shown = sorted(counts.get(item, 0) for item in catalogue)
    total, n = sum(shown), len(shown)
    if total == 0:
        return 0.0
    return sum((2 * i - n - 1) * count for i, count in enumerate(shown, 1)) / (n * total)


def novelty(lists: Iterable[Sequence[str]], buyers: Mapping[str, int], users: int, k: int) -> float:
    """Mean self-information, -log2 p(item) bits, where p is the share of users who had the item (Castells et al.).

    An item that nobody had counts as one of ``users + 1``.
    """
    bits = [-math.log2(max(buyers.get(item, 0), 1) / (users + 1)) for ranked in lists for item in ranked[:k]]
    return sum(bits) / len(bits) if bits else 0.0


def out_of_catalogue(lists: Iterable[Sequence[str]], catalogue: Set[str]) -> float:
    """Share of all named items that the catalogue does not hold."""
    named = [item for ranked in lists for item in ranked]
    return sum(item not in catalogue for item in named) / len(named) if named else 0.0
