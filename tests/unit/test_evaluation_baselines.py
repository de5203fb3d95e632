"""Popularity and the Markov chain on histories small enough to count by hand, and on MovieLens where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from recsys_finetune.evaluation.baselines import MarkovChain, MarkovSettings, Popularity
from recsys_finetune.evaluation.metrics import ndcg_at, rank_of, recall_at
from recsys_finetune.evaluation.protocol import (
    Event,
    Split,
    k_core,
    leave_one_out,
    sequences,
    training_histories,
)

FIRST_ORDER = MarkovSettings(reach=1, decay=0.5, damping=0.0)
CATALOGUE = ["a", "b", "c", "d"]


def test_popularity_ranks_by_count_and_leaves_the_history_out():
    ranker = Popularity.fit({"u": ["b", "c"], "v": ["b", "a", "c", "c"]}, CATALOGUE)
    assert ranker.rank(["b"], 2) == ["c", "a"]
    assert ranker.rank([], 10) == ["c", "b", "a", "d"]


def test_the_chain_ranks_by_what_followed_the_last_item():
    ranker = MarkovChain.fit({"u": ["a", "d"], "v": ["a", "c"], "w": ["b", "a", "d"]}, CATALOGUE, FIRST_ORDER)
    assert ranker.rank(["b", "a"], 2) == ["d", "c"]


def test_the_chain_falls_back_to_popularity():
    ranker = MarkovChain.fit({"u": ["a", "c"], "v": ["b", "c"]}, CATALOGUE, FIRST_ORDER)
    assert ranker.rank(["d"], 1) == ["c"]
    assert ranker.rank([], 1) == ["c"]
    assert ranker.rank(["unknown"], 1) == ["c"]


def test_a_longer_reach_hears_earlier_items():
    histories = {"u": ["a", "x", "d"], "v": ["a", "x", "d"], "w": ["b", "x", "c"], "z": ["b", "x", "c"]}
    catalogue = ["a", "b", "c", "d", "x"]
    ranker = MarkovChain.fit(histories, catalogue, MarkovSettings(reach=2, decay=0.5, damping=0.0))
    assert ranker.rank(["a", "x"], 1) == ["d"]
    assert ranker.rank(["b", "x"], 1) == ["c"]


def test_settings_are_chosen_on_validation():
    """x is followed by d or c, as the item before it says: only a reach of two can know."""
    taught = {f"{first}{n}": [first, "x", last, "m", "n"] for n in range(4) for first, last in ("ad", "bc")}
    asked = {f"asked-{first}": [first, "x", last, "n"] for first, last in ("ad", "bc")}
    assert MarkovChain.choose(taught | asked, list("abcdmnx")).settings.reach >= 2


@pytest.mark.skipif("MOVIELENS_DIR" not in os.environ, reason="MOVIELENS_DIR does not name an ml-100k folder")
def test_the_known_figures_of_movielens_100k():
    """Popularity .0848/.0446 to the digit; a Markov chain near .2015/.1118, whose settings are not published."""
    events = []
    for line in (Path(os.environ["MOVIELENS_DIR"]) / "u.data").read_text(encoding="latin-1").splitlines():
        user, item, _, time = line.split("\t")
        events.append(Event(user, item, int(time)))
    histories = sequences(k_core(events))
    catalogue = list(dict.fromkeys(item for history in histories.values() for item in history))
    assert (len(histories), len(catalogue)) == (943, 1349)
    cases = leave_one_out(histories, Split.TEST)

    def figures(ranker):
        ranks = [rank_of(case.target, ranker.rank(case.history, 10)) for case in cases]
        return [sum(metric(rank, 10) for rank in ranks) / len(ranks) for metric in (recall_at, ndcg_at)]

    popularity = Popularity.fit(training_histories(histories), catalogue)
    assert figures(popularity) == pytest.approx([0.0848, 0.0446], abs=5e-5)
    assert figures(MarkovChain.choose(histories, catalogue)) == pytest.approx([0.2015, 0.1118], abs=0.005)
