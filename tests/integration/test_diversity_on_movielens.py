"""Diversity on MovieLens 100K: what the default lambda costs and brings, and how closely a target is met.

Lists of the gateway's own collaborative retrieval, as the pipeline scores them where nothing else speaks.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from recsys_finetune.commands.samples import samples_folder
from recsys_finetune.evaluation.datasets import Dataset, load_dataset
from recsys_finetune.evaluation.metrics import ndcg_at, rank_of
from recsys_finetune.evaluation.models import BASELINES
from recsys_finetune.evaluation.protocol import Case, Split
from recsys_finetune.evaluation.shelf import make_shelf
from recsys_finetune.evaluation.summary import Shelf
from recsys_gateway.config import Diversity
from recsys_gateway.recommend.diversify import cosine_ild, diversify, unit_rows
from recsys_gateway.recommend.pipeline import CHOICE
from recsys_gateway.recommend.stages import Slate, VerifiedItem

pytestmark = pytest.mark.skipif(
    "MOVIELENS_DIR" not in os.environ, reason="MOVIELENS_DIR names no MovieLens 100K folder"
)

SIZE = 10


@pytest.fixture(scope="module")
def films() -> Dataset:
    return load_dataset(Path(os.environ["MOVIELENS_DIR"]))


@pytest.fixture(scope="module")
def shelf(films: Dataset) -> Shelf:
    return make_shelf(films, samples_folder() / "models" / "embedder")


def found(films: Dataset, shelf: Shelf, cases: list[Case]) -> list[list[VerifiedItem]]:
    """For each case what diversity chooses from, best first."""
    ranker, pool = BASELINES["retrieval"](films), CHOICE * SIZE
    return [
        [
            VerifiedItem(shelf.items[item], 1 - place / pool, (), shelf.vectors[item])
            for place, item in enumerate(ranker.rank(case.history, pool))
        ]
        for case in cases
    ]


def worth(slates: list[Slate], cases: list[Case]) -> tuple[float, float]:
    """NDCG@10 and genre ILD."""
    ranks = [
        rank_of(case.target, [each.item.id for each in slate.items]) for slate, case in zip(slates, cases, strict=True)
    ]
    return fmean(ndcg_at(rank, SIZE) for rank in ranks), fmean(slate.ild.genre for slate in slates)


@pytest.mark.parametrize("split", list(Split))
def test_the_default_makes_lists_a_tenth_more_diverse_at_the_same_quality(
    films: Dataset, shelf: Shelf, split: Split
) -> None:
    cases = films.cases(split)
    pools = found(films, shelf, cases)
    plain = worth([diversify(pool, SIZE, 1.0) for pool in pools], cases)
    diverse = worth([diversify(pool, SIZE, Diversity().mmr_lambda) for pool in pools], cases)
    print(f"{split}: NDCG@10 {plain[0]:.4f} -> {diverse[0]:.4f}, genre ILD {plain[1]:.4f} -> {diverse[1]:.4f}")
    assert diverse[1] >= 1.10 * plain[1]
    assert diverse[0] >= 0.99 * plain[0]


def test_a_target_is_met_wherever_some_list_has_it(films: Dataset, shelf: Shelf) -> None:
    """The range of targets is that of a thousand random lists of the pool."""
    generator = np.random.default_rng(0)
    cases = films.cases(Split.TEST)[::10]
    for pool in found(films, shelf, cases):
        vectors = unit_rows([each.vector for each in pool])
        cosines = vectors @ vectors.T
        lists = [[int(n) for n in generator.choice(len(pool), SIZE, replace=False)] for _ in range(1_000)]
        reachable = [cosine_ild(cosines, each) for each in lists]
        for target in np.linspace(min(reachable), max(reachable), 7):
            assert abs(diversify(pool, SIZE, 0.5, float(target)).ild.cosine - target) <= 0.02
