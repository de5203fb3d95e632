"""A tuned model from its data: trained, written, and measured in llama.cpp beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from recsys_gateway.config import RankingMode
from rich.console import Console

from recsys_finetune.evaluation.datasets import Dataset
from recsys_finetune.evaluation.metrics import ndcg_at, rank_of, recall_at
from recsys_finetune.evaluation.models import find_models
from recsys_finetune.evaluation.protocol import Case, Split
from recsys_finetune.language_model.engine import running_engine
from recsys_finetune.language_model.gguf_export import Precision, export_gguf
from recsys_finetune.language_model.llama import parameters
from recsys_finetune.ranking.catalogue import TrainingCatalogue, training_catalogue
from recsys_finetune.ranking.request_quality import request_figures
from recsys_finetune.ranking.requests import RequestWriter
from recsys_finetune.ranking.teacher import Teacher
from recsys_finetune.ranking.tuned_model import HISTORY_LENGTH, TunedModel, TunedPlan, train_tuned_model

CUT = 10
COMPARED = ("popularity", "markov", "retrieval")
CASES = 500
TRIALS = 300


@dataclass(frozen=True, slots=True)
class Made:
    """``validation``: NDCG@10 and hit rate@10 by model, the tuned one by mode, on ``cases`` users; ``facts``: what else
    a report says."""

    facts: Mapping[str, object]
    cases: int
    validation: Mapping[str, Mapping[str, float]]

    def report(self) -> dict[str, object]:
        return {**self.facts, "validation": {"cases": self.cases, **self.validation}}


def make_tuned(
    data: Dataset, requests: RequestWriter, plan: TunedPlan, path: Path, name: str, console: Console
) -> Made:
    """Write the model to ``path`` and return its figures. Validation and test items of ``data`` are not learnt from.

    Raises:
        UnsuitableCatalogueError: ``data`` is too small or too large.
        ForeignModelError, UnknownItemsError: ``plan.start`` is no model of this catalogue.
    """
    catalogue = training_catalogue(data)
    with console.status("Counting who took what after what"):
        teacher = Teacher.fit(catalogue, HISTORY_LENGTH)
    trained = train_tuned_model(catalogue, teacher, requests, plan, console)
    size = export_gguf(trained.model, trained.tokenizer, path, name=name, precision=Precision.Q8_0)
    cases = data.cases(Split.VALIDATION)[:CASES]
    figures = compare(path, data, cases, plan.modes, console)
    return Made(_facts(trained, catalogue, plan, size), len(cases), figures)


def _facts(trained: TunedModel, catalogue: TrainingCatalogue, plan: TunedPlan, size: int) -> dict[str, object]:
    return {
        "seed": plan.seed,
        "parameters": parameters(trained.model),
        "bytes": size,
        "items": len(catalogue.items),
        "modes": [mode.value for mode in plan.modes],
        "training_seconds": round(sum(stage.seconds for stage in trained.stages)),
        "threads": plan.threads,
        "stages": [{"steps": stage.steps, "loss": round(stage.loss, 3)} for stage in trained.stages],
    }


def compare(
    path: Path, data: Dataset, cases: Sequence[Case], modes: Sequence[RankingMode], console: Console
) -> dict[str, dict[str, float]]:
    """NDCG@10 and hit rate@10 of the baselines and of the model at ``path`` in each of ``modes``, on ``cases``; and the
    tokens of one list."""
    figures = {}
    for each in [one for name in (*COMPARED, str(path)) for one in find_models(name, data, path, modes)]:
        label = each.name if each.mode is None else f"tuned, {each.mode.value}"
        with console.status(f"Measuring {label} on {len(cases)} held-out choices"):
            answers = each.answer(cases, lambda: None)
        ranks = [rank_of(case.target, ranked) for case, ranked in zip(cases, answers.lists, strict=True)]
        figures[label] = {
            "ndcg_at_10": round(fmean(ndcg_at(rank, CUT) for rank in ranks), 4),
            "hit_rate_at_10": round(fmean(recall_at(rank, CUT) for rank in ranks), 4),
        }
        if answers.tokens is not None:
            figures[label]["tokens"] = round(answers.tokens.prompt + answers.tokens.completion, 1)
    return figures


def measure_requests(
    path: Path, data: Dataset, modes: Sequence[RankingMode], seed: int, console: Console
) -> dict[str, dict[str, float]]:
    """For the sample shop, by mode: how well requests in phrasings that the model at ``path`` never saw are met."""
    items = list(data.items.values())
    with console.status("Asking for things in unseen phrasings"), running_engine(path) as url:
        return {mode.value: request_figures(url, items, mode, TRIALS, seed) for mode in modes}
