"""``recsys finetune``: makes the tuned model of a resource's own catalogue, on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from recsys_finetune.evaluation.datasets import Dataset
    from recsys_finetune.ranking.making import Made

MODEL_FILE = "model.gguf"


def finetune(
    file: Annotated[Path, typer.Option("-f", "--file", help="YAML of a RecommenderSystem.", dir_okay=False)],
    minutes: Annotated[float, typer.Option(help="Time for the training.", min=0.1, max=600)] = 7.0,
    threads: Annotated[int, typer.Option(help="Threads of the training.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights and examples.", min=0)] = 20260,
) -> None:
    """Train a small tuned model for the catalogue of FILE, and say what it is worth beside the baselines."""
    from recsys_gateway.catalog.source import SourceError
    from rich.console import Console

    from recsys_finetune.ranking.catalogue import UnsuitableCatalogueError
    from recsys_finetune.ranking.resource import ResourceError, output_folder, read_dataset, read_resource

    console = Console()
    try:
        resource = read_resource(file)
        folder = output_folder(resource.spec.fine_tuning.output)
        with console.status("Reading the catalogue"):
            data = read_dataset(resource.spec.catalog, _samples())
        made = _make(data, folder, resource.metadata.name, (minutes, threads, seed), console)
    except (ResourceError, SourceError, UnsuitableCatalogueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"{error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    (folder / "report.json").write_text(json.dumps(made.report(), indent=2) + "\n", encoding="utf-8")
    _show(made, console)
    console.print(f"\nWritten to {folder / MODEL_FILE}. Next:\n  recsys up -f {file}", soft_wrap=True)


def _samples() -> Path | None:
    """The folder of the samples, where the package that holds them is installed."""
    from recsys_finetune.commands.samples import samples_folder

    try:
        return samples_folder()
    except typer.BadParameter:
        return None


def _make(data: Dataset, folder: Path, name: str, how: tuple[float, int, int], console: Console) -> Made:
    """Trains and measures; ``how`` holds minutes, threads and seed."""
    from recsys_finetune.ranking.making import make_tuned
    from recsys_finetune.ranking.requests import CatalogueRequests
    from recsys_finetune.ranking.tuned_model import TunedPlan

    minutes, threads, seed = how
    requests = CatalogueRequests.of(list(data.items.values())).write
    plan = TunedPlan(minutes=minutes, threads=threads, seed=seed)
    return make_tuned(data, requests, plan, folder / MODEL_FILE, name, console)


def _show(made: Made, console: Console) -> None:
    """The validation figures as a table."""
    from rich.table import Table

    table = Table(title=f"The choice before the last of {made.cases} users, full ranking; never trained on")
    for heading in ("model", "NDCG@10", "hit rate@10", "tokens a list"):
        table.add_column(heading)
    for name, figures in made.validation.items():
        tokens = f"{figures['tokens']:.0f}" if "tokens" in figures else ""
        table.add_row(name, f"{figures['ndcg_at_10']:.4f}", f"{figures['hit_rate_at_10']:.4f}", tokens)
    console.print(table)
