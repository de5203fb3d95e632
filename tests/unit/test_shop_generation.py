"""The sample shop: the same seed gives the same files, and its purchases follow the law that they claim."""

from __future__ import annotations

import csv
from collections import Counter
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.files import write_shop
from recsys_finetune.shop.generate import generate_shop, report
from recsys_finetune.shop.purchases import SOLD_OUT_FROM, best_ranking
from recsys_finetune.shop.taste import Habits

FILES = ("items.csv", "users.csv", "interactions.csv", "heldout.csv", "report.json")


@pytest.fixture(scope="module")
def shop():
    return generate_shop(seed=3, customers=60)


@pytest.fixture(scope="module")
def sample():
    """The shop that ships, with its report."""
    made = generate_shop()
    return made, report(made)


def committed() -> Path:
    spec = find_spec("recsys_operator")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "samples" / "shop"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_committed_files_are_what_the_seed_gives(sample, tmp_path):
    write_shop(*sample, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (committed() / name).read_bytes(), name


def test_another_seed_gives_another_shop(shop):
    other = generate_shop(seed=4, customers=60)
    assert [item.title for item in other.items] != [item.title for item in shop.items]
    assert other.purchases != shop.purchases


def test_titles_and_ids_are_unique_and_prices_fit_their_kind(shop):
    assert len({item.title for item in shop.items}) == len({item.id for item in shop.items}) == len(shop.items)
    limits = {kind.name.lower(): kind.price for _, kind in load_assortment().kinds()}
    for item in shop.items:
        low, high = limits[str(item.attributes["kind"])]
        assert item.price is not None
        assert low - 1 <= item.price <= high + 1


def test_documents_are_clearly_longer_than_titles(shop):
    for item in shop.items:
        assert 35 <= len(item.document.split()) <= 80


def test_the_law_is_a_distribution_that_avoids_what_was_bought_and_what_is_sold_out(shop):
    before, after = (shop.law.probabilities(0, [5, 9], SOLD_OUT_FROM + shift) for shift in (-1, 1))
    assert before.sum() == pytest.approx(1)
    assert (before > 0).all()
    gone = [number for number, item in enumerate(shop.items) if not item.in_stock]
    assert gone
    assert (after[gone] < 0.1 * before[gone]).all()
    fresh = shop.law.probabilities(0, [9], SOLD_OUT_FROM - 1)
    assert before[5] < 0.1 * fresh[5]


def test_complements_follow_the_graph(shop):
    """After a tent: what the assortment names after tents, and nothing else."""
    after = {category.name: set(category.after) for category in load_assortment().categories}
    for row, item in enumerate(shop.items):
        led_to = {shop.items[column].categories[0] for column in np.flatnonzero(shop.law.complements[row])}
        assert led_to <= after[item.categories[0]]


def test_the_best_ranking_is_that_of_the_law(shop):
    purchases = shop.purchases[0]
    ranking = best_ranking(shop.law, purchases, len(purchases) - 1, 10)
    history = [purchase.item for purchase in purchases[:-1]]
    probabilities = shop.law.probabilities(0, history, purchases[-1].timestamp)
    assert not set(ranking.tolist()) & set(history)
    shown = probabilities[ranking]
    assert (np.diff(shown) <= 0).all()
    others = np.delete(probabilities, np.concatenate([ranking, np.array(history)]))
    assert others.max() <= shown[-1]


def test_purchases_are_drawn_from_the_law():
    """With complements alone, what follows an item has the frequencies of its row."""
    only_complements = Habits(last=1.0, before=0.0, noise=0.0, again=1.0, sold_out=1.0)
    shop = generate_shop(seed=1, customers=150, habits=only_complements)
    following: dict[int, Counter[int]] = {}
    for row in shop.purchases:
        for first, second in pairwise(row):
            following.setdefault(first.item, Counter())[second.item] += 1
    first, counts = max(following.items(), key=lambda pair: pair[1].total())
    expected = shop.law.complements[first]
    top = int(np.argmax(expected))
    assert counts[top] / counts.total() == pytest.approx(expected[top], abs=4 * (0.25 / counts.total()) ** 0.5)
    assert all(expected[item] > 0 for item in counts)


def test_held_out_is_the_last_purchase_of_each_customer(shop, tmp_path):
    write_shop(shop, report(shop), tmp_path)
    latest: dict[str, int] = {}
    for event in rows(tmp_path / "interactions.csv"):
        latest[event["user_id"]] = max(latest.get(event["user_id"], 0), int(event["timestamp"]))
    held_out = rows(tmp_path / "heldout.csv")
    assert {event["user_id"] for event in held_out} == {row["id"] for row in rows(tmp_path / "users.csv")}
    assert all(int(event["timestamp"]) > latest[event["user_id"]] for event in held_out)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_optimum_is_above_the_markov_chain_and_that_above_popularity(sample, split):
    figures = sample[1][split]
    optimum, markov, popularity = (figures[name]["ndcg_at_10"] for name in ("optimum", "markov", "popularity"))
    assert optimum > 1.25 * markov
    assert markov > 2 * popularity
