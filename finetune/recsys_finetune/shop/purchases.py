"""Purchases drawn from the law, and the best ranking of each held-out one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_finetune.shop.taste import PurchaseLaw

DAY = 86_400
OPENED = 1_672_531_200  # 1 January 2023, UTC
CLOSED = OPENED + 2 * 365 * DAY
SOLD_OUT_FROM = CLOSED - 120 * DAY
SHORTEST_HISTORY = 6


@dataclass(frozen=True, slots=True)
class Purchase:
    """``customer`` and ``item`` are row numbers, ``timestamp`` whole seconds since the epoch."""

    customer: int
    item: int
    timestamp: int


def draw_purchases(law: PurchaseLaw, customers: int, mean: float, rng: np.random.Generator) -> list[list[Purchase]]:
    """The purchases of each customer, oldest first: at least ``SHORTEST_HISTORY``, ``mean`` on average."""
    shape = 2.2
    extra = rng.gamma(shape, (mean - SHORTEST_HISTORY) / shape, size=customers)
    return [
        _draw_customer(law, customer, SHORTEST_HISTORY + round(float(extra[customer])), rng)
        for customer in range(customers)
    ]


def _draw_customer(law: PurchaseLaw, customer: int, count: int, rng: np.random.Generator) -> list[Purchase]:
    times = np.unique(rng.integers(OPENED, CLOSED, size=count))
    history: list[int] = []
    purchases = []
    for timestamp in times.tolist():
        cumulative = np.cumsum(law.probabilities(customer, history, timestamp))
        item = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        history.append(item)
        purchases.append(Purchase(customer, item, timestamp))
    return purchases


def best_ranking(law: PurchaseLaw, purchases: list[Purchase], position: int, limit: int) -> NDArray[np.int64]:
    """The items not yet bought before ``purchases[position]``, most probable first, at most ``limit``.

    No ranking has a higher expected NDCG or recall: both fall with the rank of the one item that is bought.
    """
    target = purchases[position]
    history = [purchase.item for purchase in purchases[:position]]
    probabilities = law.probabilities(target.customer, history, target.timestamp)
    probabilities[history] = -1.0
    unseen = len(probabilities) - len(set(history))
    return np.argsort(-probabilities, kind="stable")[: min(limit, unseen)]
