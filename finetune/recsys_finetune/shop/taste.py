"""The law that the sample purchases follow. It is explicit, so that the best possible ranking is known.

The next purchase of customer u with history h at time t is drawn from

    P(i | u, h, t)  ~  bought(i, h) * stock(i, t) * ( w_last C[h_-1, i] + w_before C[h_-2, i] + w_noise pop_i
                                                     + (1 - w_last - w_before - w_noise) T[u, i] )

T is a softmax of interests, style and popularity; C the complements (after a tent comes a sleeping bag); pop a
Zipf-like popularity. ``bought`` makes a second purchase of the same item rare, ``stock`` that of a sold-out one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import User

from recsys_finetune.shop.assortment import Assortment
from recsys_finetune.shop.customers import leanings
from recsys_finetune.shop.products import Product

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Habits:
    """Strengths of the law's parts; the defaults put popularity, Markov chain and optimum well apart."""

    last: float = 0.26
    before: float = 0.14
    noise: float = 0.05
    again: float = 0.02
    sold_out: float = 0.03
    zipf: float = 0.6
    interest: float = 4.5
    interest_spread: float = 1.5
    style: float = 2.0
    style_dimensions: int = 3
    partners: int = 3
    partner_boost: float = 20.0


@dataclass(frozen=True, slots=True)
class PurchaseLaw:
    """The conditional distribution of the next purchase. Rows of ``taste`` and ``complements`` sum to one."""

    taste: Matrix
    complements: Matrix
    popularity: Matrix
    sold_out_from: Matrix
    habits: Habits

    def probabilities(self, customer: int, history: Sequence[int], time: float) -> Matrix:
        """P(item | customer, history, time). Shape (items,), sums to one. ``history`` is oldest first."""
        habits = self.habits
        mixed = habits.noise * self.popularity
        rest = 1.0 - habits.noise
        for back, weight in ((1, habits.last), (2, habits.before)):
            if len(history) >= back:
                mixed = mixed + weight * self.complements[history[-back]]
                rest -= weight
        mixed = mixed + rest * self.taste[customer]
        mixed[list(set(history))] *= habits.again
        mixed[self.sold_out_from <= time] *= habits.sold_out
        return np.asarray(mixed / mixed.sum())


def make_law(
    assortment: Assortment,
    products: list[Product],
    customers: list[User],
    rng: np.random.Generator,
    sold_out_from: float,
    habits: Habits | None = None,
) -> PurchaseLaw:
    """The law of one shop. Items out of stock sell hardly at all from ``sold_out_from`` on."""
    habits = habits or Habits()
    popularity = _popularity(len(products), habits.zipf, rng)
    return PurchaseLaw(
        taste=_taste(assortment, products, customers, popularity, rng, habits),
        complements=_complements(assortment, products, popularity, rng, habits),
        popularity=popularity,
        sold_out_from=np.array([np.inf if p.item.in_stock else sold_out_from for p in products]),
        habits=habits,
    )


def _popularity(count: int, exponent: float, rng: np.random.Generator) -> Matrix:
    """Zipf's law over a random order of the items."""
    weights = (1.0 + np.arange(count)) ** -exponent
    return np.asarray(rng.permutation(weights / weights.sum()))


def _uses(assortment: Assortment, products: list[Product]) -> Matrix:
    """How much an item serves each interest: 1 for its first use, .5 for its second. Shape (items, interests)."""
    column = {name: index for index, name in enumerate(assortment.interests)}
    matrix = np.zeros((len(products), len(column)))
    for row, product in enumerate(products):
        for use, share in zip(product.uses, (1.0, 0.5), strict=False):
            matrix[row, column[use]] = share
    return matrix


def _taste(
    assortment: Assortment,
    products: list[Product],
    customers: list[User],
    popularity: Matrix,
    rng: np.random.Generator,
    habits: Habits,
) -> Matrix:
    """softmax(interest x use + style + quality + log popularity). Shape (customers, items)."""
    shape = (len(customers), len(assortment.interests))
    interest = leanings(assortment, customers) + rng.normal(0.0, habits.interest_spread, size=shape)
    interest = np.exp(interest - interest.max(axis=1, keepdims=True))
    of_customers = rng.normal(size=(len(customers), habits.style_dimensions))
    of_items = rng.normal(size=(len(products), habits.style_dimensions)) / np.sqrt(habits.style_dimensions)
    quality = np.array([product.quality for product in products])
    logits = habits.interest * interest @ _uses(assortment, products).T + habits.style * of_customers @ of_items.T
    logits += rng.normal(0.0, 1.5, size=(len(customers), 1)) * (quality - quality.mean()) + np.log(popularity)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _complements(
    assortment: Assortment, products: list[Product], popularity: Matrix, rng: np.random.Generator, habits: Habits
) -> Matrix:
    """After item a, category weight x shared use x popularity, and a few partners of its own stand out."""
    strength = {category.name: category.after for category in assortment.categories}
    by_category = np.array(
        [[strength[first.category].get(second.category, 0.0) for second in products] for first in products]
    )
    uses = _uses(assortment, products)
    weights = by_category * (0.15 + uses @ uses.T) * np.sqrt(popularity)
    np.fill_diagonal(weights, 0.0)
    for row in weights:
        partners = rng.choice(len(products), size=habits.partners, replace=False, p=row / row.sum())
        row[partners] *= habits.partner_boost
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
