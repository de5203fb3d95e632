"""The figures of several models side by side, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from recsys_gateway.config import RankingMode
from rich.console import Group
from rich.table import Table
from rich.text import Text

from recsys_finetune.evaluation.protocol import Split
from recsys_finetune.evaluation.summary import Figures
from recsys_finetune.evaluation.tuned_model import Latency, PromptTokens

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
    """One model, in one mode where it has several. ``failed`` counts the questions that it did not answer with a list;
    ``note`` says what it is; ``tokens`` are those of one list, ``latency`` its time, None for what reads no prompt."""

    model: str
    figures: Figures
    failed: int
    seconds: float
    note: str = ""
    mode: RankingMode | None = None
    tokens: PromptTokens | None = None
    latency: Latency | None = None

    @property
    def name(self) -> str:
        return f"{self.model} {self.mode.value}" if self.mode else self.model

    @property
    def share_of_plain(self) -> float | None:
        """Of the plain prompt's tokens, those of prompt and answer; None where no prompt is read."""
        told = self.tokens
        return None if told is None else (told.prompt + told.completion) / told.plain


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
                "mode": row.mode.value if row.mode else None,
                **row.figures.rounded(),
                "share_of_optimum": None if share is None else round(share, 4),
                "tokens": None if row.tokens is None else {k: round(v, 1) for k, v in asdict(row.tokens).items()},
                "tokens_of_plain_prompt": None if row.share_of_plain is None else round(row.share_of_plain, 4),
                "latency_ms": None if row.latency is None else {k: round(v, 1) for k, v in asdict(row.latency).items()},
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
    for name in [row.name for row in evaluation.rows] + (["optimum"] if optimum else []):
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
    if any(row.tokens for row in evaluation.rows):
        for label, cells in _token_rows(evaluation.rows):
            table.add_row(label, *cells, *([""] if optimum else []))
    if any(row.latency for row in evaluation.rows):
        cells = ["" if row.latency is None else f"{row.latency.median:.0f}" for row in evaluation.rows]
        table.add_row("ms a list, median", *cells, *([""] if optimum else []))
    table.add_row("seconds", *(f"{row.seconds:.1f}" for row in evaluation.rows), *([""] if optimum else []))
    return Group(table, *_notes(evaluation))


def _token_rows(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    """Tokens of one list: what was sent and said, and what the plain prompt would have taken."""
    told = [row.tokens for row in rows]
    yield "tokens, prompt", ["" if each is None else f"{each.prompt:.0f}" for each in told]
    yield "tokens, answer", ["" if each is None else f"{each.completion:.0f}" for each in told]
    yield "tokens, plain prompt", ["" if each is None else f"{each.plain:.0f}" for each in told]
    shares = [row.share_of_plain for row in rows]
    yield "of the plain prompt", ["" if share is None else f"{share:.1%}" for share in shares]


def _notes(evaluation: Evaluation) -> list[Text]:
    """What the table cannot show: what a model is, and how often it failed."""
    lines = []
    for row in evaluation.rows:
        parts = [row.note] if row.note else []
        if row.failed:
            parts.append(f"{row.failed} of {evaluation.users} questions without a list: order of retrieval instead")
        lines += [Text(f"{row.name}: {'; '.join(parts)}")] if parts else []
    return lines
