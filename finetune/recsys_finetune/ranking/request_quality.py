"""Whether the sample tuned model puts first what a customer asks for: wishes in phrasings that it never saw."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from recsys_gateway.catalog.records import Item
from recsys_gateway.config import EngineType, Pool, RankingMode, Role, ServedModel
from recsys_gateway.recommend.modes import RANKERS
from recsys_gateway.recommend.rank import RankFailed
from recsys_gateway.serving.engine_calls import new_session
from recsys_gateway.serving.token_counts import TokenCounts
from recsys_gateway.serving.upstream import Upstream

from recsys_finetune.evaluation.tuned_model import PATIENT
from recsys_finetune.ranking.rank_examples import rank_prompt_builder
from recsys_finetune.shop.queries import Phrasing, Wish, make_wish, satisfies

SATISFYING, OF_KIND, SHOWN, TOP = 5, 4, 20, 3
BUDGET = 512


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A wish and its shuffled candidates: some that satisfy it, some of the right kind only, the rest neither."""

    wish: Wish
    candidates: tuple[Item, ...]


def draw_trial(items: Sequence[Item], phrasing: Phrasing, rng: np.random.Generator) -> Trial:
    """Of a random item's wish."""
    wish = make_wish(items[int(rng.integers(len(items)))], phrasing, rng)
    shuffled = [items[row] for row in rng.permutation(len(items))]
    right = [item for item in shuffled if satisfies(item, wish)][:SATISFYING]
    near = [item for item in shuffled if not satisfies(item, wish) and wish.kinds and _of_kind(item, wish)][:OF_KIND]
    rest = [item for item in shuffled if not satisfies(item, wish) and not (wish.kinds and _of_kind(item, wish))]
    chosen = [*right, *near, *rest][:SHOWN]
    return Trial(wish, tuple(chosen[place] for place in rng.permutation(len(chosen))))


def request_figures(url: str, items: Sequence[Item], mode: RankingMode, trials: int, seed: int) -> dict[str, float]:
    """Shares of the first three that are of the kind asked for, and that satisfy the whole wish; as a chance order
    would have it beside; and the share of answers that are lists without doubles.

    Where fewer than three candidates fit, that many places are looked at.

    Raises:
        UpstreamError: the engine cannot be reached.
    """
    rng = np.random.default_rng(seed)
    drawn = [draw_trial(items, Phrasing.HELD_OUT, rng) for _ in range(trials)]
    lists = asyncio.run(_ask_all(url, mode, drawn))
    by_id = {item.id: item for item in items}
    of_kind, satisfied, chance = [], [], []
    for trial, listed in zip(drawn, lists, strict=True):
        fitting = sum(satisfies(item, trial.wish) for item in trial.candidates)
        top = [by_id[item] for item in listed[: min(TOP, fitting)] if item in by_id]
        satisfied.append(sum(satisfies(item, trial.wish) for item in top) / min(TOP, fitting))
        chance.append(fitting / len(trial.candidates))
        if trial.wish.kinds:
            of_kind.append(sum(_of_kind(item, trial.wish) for item in top) / min(TOP, fitting))
    return {
        "of_kind_in_top_3": round(fmean(of_kind), 4),
        "satisfied_in_top_3": round(fmean(satisfied), 4),
        "satisfied_by_chance": round(fmean(chance), 4),
        "lists_without_doubles": round(fmean(bool(each) and len(set(each)) == len(each) for each in lists), 4),
    }


def _of_kind(item: Item, wish: Wish) -> bool:
    return item.attributes.get("kind") in wish.kinds


async def _ask_all(url: str, mode: RankingMode, trials: Sequence[Trial]) -> list[list[str]]:
    """The list of each trial, empty where the model gave none; customers without a history ask."""
    pool = Pool.model_validate({"name": "measured", "slots": 1, "endpoints": [{"url": url}]})
    served = ServedModel(name="measured", role=Role.TUNED, engine=EngineType.LLAMA_CPP, pools=(pool,))
    lists: list[list[str]] = []
    async with new_session() as session:
        upstream = Upstream.to(served, session, PATIENT)
        ranker, counts = RANKERS[mode](upstream), TokenCounts(upstream)
        for number, trial in enumerate(trials):
            builder = rank_prompt_builder(None, (), trial.wish.text, trial.candidates, BUDGET, mode, seed=number)
            tokens = await counts.of(builder.pieces())
            try:
                ranking = await ranker.rank(builder.build(tokens.__getitem__), builder.query)
            except RankFailed:
                lists.append([])
            else:
                lists.append([scored.item_id for scored in ranking.items])
    return lists
