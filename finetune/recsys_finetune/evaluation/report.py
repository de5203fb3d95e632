"""The figures of several models side by side, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from recsys_finetune.evaluation.protocol import Split
from recsys_finetune.evaluation.summary import Figures

LABELS = {
    "recall_at_10": "recall@10",
    "ndcg_at_10": "NDCG@10",
    "mrr_at_10": "MRR@10",
    "recall_at_20": "recall@20",
    "ild_cosine": "ILD@10, cosine",
    "ild_genre": "ILD@10, categories",
    "coverage": "coverage@10",
    "gini": "Gini@10",
    "novelty": "novelty@10, bits",
    "out_of_catalogue": "outside the catalogue",
}
SHORT_NAME = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One model. ``failed`` counts the questions that it did not answer with a list; ``note`` says what it is."""

    model: str
    figures: Figures
    failed: int
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``optimum``: recall and NDCG at 10 of the best possible ranking, where the generator of the data told it."""

    data: str
    split: Split
    users: int
    items: int
    optimum: Mapping[str, float] | None
    rows: Sequence[Row]


def share_of_optimum(figures: Figures, optimum: Mapping[str, float] | None) -> float | None:
    """NDCG@10 as a share of the optimum's; None where that is not known."""
    return figures.ndcg_at_10 / optimum["ndcg_at_10"] if optimum and optimum["ndcg_at_10"] > 0 else None


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """All of it, to four decimals."""
    models = []
    for row in evaluation.rows:
        share = share_of_optimum(row.figures, evaluation.optimum)
        models.append(
            {
                "model": row.model,
                **row.figures.rounded(),
                "share_of_optimum": None if share is None else round(share, 4),
                "failed": row.failed,
                "seconds": round(row.seconds, 1),
                "note": row.note,
            }
        )
    return {
        "data": evaluation.data,
        "split": evaluation.split.value,
        "users": evaluation.users,
        "items": evaluation.items,
        "optimum": dict(evaluation.optimum) if evaluation.optimum else None,
        "models": models,
    }


def as_table(evaluation: Evaluation) -> Group:
    """One column a model, the best possible ranking last, where it is known; below it what the models are."""
    optimum = evaluation.optimum
    title = f"{evaluation.data}, {evaluation.split.value}: {evaluation.users} users, {evaluation.items} items"
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for name in [row.model for row in evaluation.rows] + (["optimum"] if optimum else []):
        # Names of ours stay whole; the path of a folder or an address may take several lines.
        table.add_column(name, justify="right", overflow="fold", min_width=min(len(name), SHORT_NAME))
    figures = [row.figures.rounded() for row in evaluation.rows]
    for name, label in LABELS.items():
        cells = ["" if each[name] is None else f"{each[name]:.4f}" for each in figures]
        if optimum:
            cells.append(f"{optimum[name]:.4f}" if name in optimum else "")
        table.add_row(label, *cells)
    if optimum:
        shares = [share_of_optimum(row.figures, optimum) or 0.0 for row in evaluation.rows]
        table.add_row("NDCG@10 of the optimum", *(f"{share:.0%}" for share in shares), "100%")
    table.add_row("seconds", *(f"{row.seconds:.1f}" for row in evaluation.rows), *([""] if optimum else []))
    return Group(table, *_notes(evaluation))


def _notes(evaluation: Evaluation) -> list[Text]:
    """What the table cannot show: what a model is, and how often it failed."""
    lines = []
    for row in evaluation.rows:
        parts = [row.note] if row.note else []
        if row.failed:
            parts.append(f"{row.failed} of {evaluation.users} questions without a list: order of retrieval instead")
        lines += [Text(f"{row.model}: {'; '.join(parts)}")] if parts else []
    return lines
