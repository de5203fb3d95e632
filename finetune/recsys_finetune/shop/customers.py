"""Customers of the sample shop, and how their traits lean their interests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from recsys_gateway.catalog.records import User

from recsys_finetune.shop.assortment import Assortment


def make_customers(assortment: Assortment, rng: np.random.Generator, count: int) -> list[User]:
    """``count`` customers with ids from 1 and the traits age (18..79), gender and region."""
    ages = np.clip(np.round(rng.gamma(7.0, 6.0, size=count)), 18, 79).astype(int)
    genders = rng.choice(["F", "M", "X"], size=count, p=[0.49, 0.48, 0.03])
    regions = rng.choice(assortment.regions, size=count, p=[0.22, 0.24, 0.34, 0.20])
    return [
        User(str(n + 1), {"age": int(ages[n]), "gender": str(genders[n]), "region": str(regions[n])})
        for n in range(count)
    ]


def age_group(age: int) -> str:
    """``young`` below 32, ``old`` from 52 on, else ``middle``: what the assortment's leanings are keyed by."""
    return "young" if age < 32 else "old" if age >= 52 else "middle"


def leanings(assortment: Assortment, customers: list[User]) -> NDArray[np.float64]:
    """Added log-weight of each interest by region, age group and gender. Shape (customers, interests)."""
    matrix = np.zeros((len(customers), len(assortment.interests)))
    column = {name: index for index, name in enumerate(assortment.interests)}
    for row, customer in enumerate(customers):
        traits = customer.traits
        for key in (str(traits["region"]), age_group(int(traits["age"])), str(traits["gender"])):
            for interest, weight in assortment.leanings.get(key, {}).items():
                matrix[row, column[interest]] += weight
    return matrix
