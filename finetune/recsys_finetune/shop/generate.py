"""The whole sample shop from one seed, with what rankings of it can score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from recsys_gateway.catalog.records import Item, User

from recsys_finetune.evaluation.baselines import MarkovChain, Popularity
from recsys_finetune.evaluation.metrics import ndcg_at, rank_of, recall_at
from recsys_finetune.evaluation.protocol import Case, Split, leave_one_out, training_histories
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.customers import make_customers
from recsys_finetune.shop.products import make_products
from recsys_finetune.shop.purchases import SOLD_OUT_FROM, Purchase, best_ranking, draw_purchases
from recsys_finetune.shop.taste import Habits, PurchaseLaw, make_law

SEED = 20_260
CUSTOMERS = 1000
MEAN_PURCHASES = 21.0
K = 10

Ranker = Callable[[Case], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Shop:
    """``purchases[c]`` are those of ``customers[c]``, oldest first; the last of each is held out."""

    seed: int
    items: list[Item]
    customers: list[User]
    purchases: list[list[Purchase]]
    law: PurchaseLaw

    def histories(self) -> dict[str, list[str]]:
        """Item ids of each customer by time, the held-out one included."""
        return {
            customer.id: [self.items[purchase.item].id for purchase in row]
            for customer, row in zip(self.customers, self.purchases, strict=True)
        }


def generate_shop(
    seed: int = SEED, customers: int = CUSTOMERS, mean: float = MEAN_PURCHASES, habits: Habits | None = None
) -> Shop:
    """The shop of ``seed``. Each part has a random stream of its own, so that a change of one leaves the others."""
    assortment = load_assortment()
    for_products, for_customers, for_law, for_purchases = np.random.default_rng(seed).spawn(4)
    products = make_products(assortment, for_products)
    people = make_customers(assortment, for_customers, customers)
    law = make_law(assortment, products, people, for_law, SOLD_OUT_FROM, habits)
    purchases = draw_purchases(law, customers, mean, for_purchases)
    return Shop(seed, [product.item for product in products], people, purchases, law)


def report(shop: Shop) -> dict[str, object]:
    """Counts, and recall and NDCG at 10 of the optimum, of a Markov chain and of popularity, by split."""
    histories, catalogue = shop.histories(), [item.id for item in shop.items]
    markov = MarkovChain.choose(histories, catalogue)
    popularity = Popularity.fit(training_histories(histories), catalogue)
    rows = {customer.id: row for customer, row in zip(shop.customers, shop.purchases, strict=True)}

    def optimum(case: Case) -> list[str]:
        return [catalogue[i] for i in best_ranking(shop.law, rows[case.user], len(case.history), K)]

    rankers: dict[str, Ranker] = {
        "optimum": optimum,
        "markov": lambda case: markov.rank(case.history, K),
        "popularity": lambda case: popularity.rank(case.history, K),
    }
    splits = {split: leave_one_out(histories, split) for split in (Split.TEST, Split.VALIDATION)}
    return {
        "seed": shop.seed,
        "products": len(shop.items),
        "customers": len(shop.customers),
        "purchases": sum(len(row) - 1 for row in shop.purchases),
        "held_out": len(shop.purchases),
        "out_of_stock": sum(not item.in_stock for item in shop.items),
        **{
            split.value: {name: _score(cases, ranker) for name, ranker in rankers.items()}
            for split, cases in splits.items()
        },
    }


def _score(cases: Sequence[Case], ranker: Ranker) -> dict[str, float]:
    ranks = [rank_of(case.target, ranker(case)) for case in cases]
    return {
        "recall_at_10": round(sum(recall_at(rank, K) for rank in ranks) / len(ranks), 4),
        "ndcg_at_10": round(sum(ndcg_at(rank, K) for rank in ranks) / len(ranks), 4),
    }
