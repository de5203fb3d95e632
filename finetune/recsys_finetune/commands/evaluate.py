"""``recsys evaluate``: recall, NDCG, diversity of models on held-out interactions, side by side."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from recsys_gateway.config import RankingMode

from recsys_finetune.commands.samples import samples_folder
from recsys_finetune.evaluation.protocol import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from recsys_finetune.evaluation.report import Evaluation


def evaluate(
    data: Annotated[str, typer.Option(help="Folder: a shop's CSV files or MovieLens 100K; 'sample': the sample shop.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="popularity, markov, retrieval, sample (the sample tuned model), "
            "a folder with model.gguf, or the URL of a running gateway; may be repeated."
        ),
    ],
    split: Annotated[Split, typer.Option(help="Which held-out interaction is asked for.")] = Split.TEST,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the lists here, a JSON object a line; with one --model.", dir_okay=False)
    ] = None,
    mode: Annotated[
        list[RankingMode] | None,
        typer.Option(
            help="How tuned models rank; may be repeated. Default: ToolCall, of a gateway its own.",
            case_sensitive=False,
        ),
    ] = None,
    modes: Annotated[bool, typer.Option("--modes", help="Tuned models in every mode, side by side.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure models on held-out interactions: leave one out, full ranking, no sampled negatives."""
    from rich.console import Console

    from recsys_finetune.evaluation.report import as_json as json_of
    from recsys_finetune.evaluation.report import as_table

    asked = list(RankingMode) if modes else mode or []
    if predictions is not None and (len(model) > 1 or len(asked) > 1):
        raise typer.BadParameter("write the lists of one --model in one --mode at a time", param_hint="--predictions")
    with _one_line_errors():
        evaluation = _evaluate(data, model, asked, split, predictions, Console(stderr=True))
    if as_json:
        sys.stdout.write(json.dumps(json_of(evaluation), indent=2) + "\n")
    else:
        Console().print(as_table(evaluation))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """What went wrong on one line, and exit code 1."""
    from recsys_gateway.catalog.embedding import EmbedderError
    from recsys_gateway.catalog.source import SourceError
    from recsys_gateway.serving.failures import UpstreamError

    from recsys_finetune.evaluation.datasets import DatasetError
    from recsys_finetune.evaluation.models import UnknownModelError
    from recsys_finetune.evaluation.running_gateway import GatewayRefusedError
    from recsys_finetune.language_model.engine import EngineStartError

    try:
        yield
    except (
        DatasetError,
        EmbedderError,
        EngineStartError,
        GatewayRefusedError,
        SourceError,
        UnknownModelError,
        UpstreamError,
    ) as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    else:
        return
    typer.echo(f"recsys evaluate: {reason}", err=True)
    raise typer.Exit(1)


def _evaluate(
    data: str, models: list[str], modes: list[RankingMode], split: Split, predictions: Path | None, console: Console
) -> Evaluation:
    from recsys_finetune.evaluation.datasets import DatasetError, load_dataset
    from recsys_finetune.evaluation.models import find_models
    from recsys_finetune.evaluation.predictions import write_predictions
    from recsys_finetune.evaluation.report import Evaluation, Row
    from recsys_finetune.evaluation.shelf import make_shelf
    from recsys_finetune.evaluation.summary import summarise

    samples = samples_folder()
    folder = samples / "shop" if data == "sample" else Path(data)
    dataset = load_dataset(folder)
    cases = dataset.cases(split)
    if not cases:
        raise DatasetError(f"{folder}: nobody has enough interactions to be asked about one of them")
    sample = samples / "models" / "tuned.gguf"
    found = [each for name in models for each in find_models(name, dataset, sample, modes)]
    shelf = make_shelf(dataset, samples / "models" / "embedder")
    rows = []
    for each in found:
        started = time.monotonic()
        with _progress(console, each.name, len(cases)) as advance:
            answers = each.answer(cases, advance)
        seconds = time.monotonic() - started
        figures = summarise(cases, answers.lists, shelf)
        told = (answers.tokens, answers.latency)
        rows.append(Row(each.name, figures, answers.failed, seconds, each.note, each.mode, *told))
        if predictions is not None:
            write_predictions(predictions, cases, answers.lists)
    return Evaluation(data, split, len(cases), len(dataset.catalogue), dataset.optimum.get(split.value), rows)


@contextmanager
def _progress(console: Console, name: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on the terminal; the function moves it on by one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
