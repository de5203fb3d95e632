"""``recsys samples``: makes the sample data and the sample models that ship with recsys."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from recsys_gateway.config import RankingMode

app = typer.Typer(help="Make the sample data and the sample models.", no_args_is_help=True)


@app.callback()
def samples() -> None:
    """Make the sample data and the sample models."""


def samples_folder() -> Path:
    """The folder of the committed samples, inside the package ``recsys_operator``.

    Raises:
        typer.BadParameter: the package is not installed, so that the folder must be named.
    """
    spec = find_spec("recsys_operator")
    if spec is None or not spec.submodule_search_locations:
        raise typer.BadParameter("recsys_operator is not installed here: say where to write with --out")
    return Path(spec.submodule_search_locations[0]) / "samples"


@app.command()
def shop(
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: the committed samples.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default: that of the committed sample shop.", min=0)] = None,
) -> None:
    """Write the sample shop: products, customers, purchases, and what the best possible ranking scores."""
    from rich.console import Console

    from recsys_finetune.shop.files import write_shop
    from recsys_finetune.shop.generate import SEED, generate_shop, report

    folder = out if out is not None else samples_folder() / "shop"
    console = Console()
    with console.status("Making the sample shop"):
        made = generate_shop(SEED if seed is None else seed)
        figures = report(made)
        write_shop(made, figures, folder)
    console.print(f"{folder}: {figures['products']} products, {figures['customers']} customers, ", end="")
    console.print(f"{figures['purchases']} purchases and {figures['held_out']} held out")


@app.command()
def embedder(
    out: Annotated[Path | None, typer.Option(help="Folder of the models; default: the committed samples.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and texts.", min=0)] = 20260,
) -> None:
    """Train the sample embedder on the sample shop's words and on made-up titles: a few minutes on one core."""
    import torch
    from rich.console import Console

    from recsys_finetune.commands.model_report import write_section
    from recsys_finetune.embedder.making import make_embedder
    from recsys_finetune.embedder.training import Recipe
    from recsys_finetune.shop.generate import generate_shop

    torch.set_num_threads(1)  # more of them change sums, and with them the model that a seed gives
    folder = out if out is not None else samples_folder() / "models"
    console = Console()
    figures = make_embedder(generate_shop().items, Recipe(seed=seed), folder / "embedder", console)
    write_section(folder, "embedder", {"command": f"recsys samples embedder --seed {seed}", **figures})
    console.print_json(data=figures)


@app.command()
def base(
    out: Annotated[Path | None, typer.Option(help="Folder of the models; default: the committed samples.")] = None,
    threads: Annotated[int, typer.Option(help="Threads of the training.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights and texts.", min=0)] = 20260,
) -> None:
    """Train the sample base model, which says a sentence about the items of a prompt: about 20 minutes on one core."""
    import torch
    from rich.console import Console

    from recsys_finetune.commands.model_report import write_section
    from recsys_finetune.narration.making import make_base
    from recsys_finetune.narration.training import Recipe
    from recsys_finetune.shop.generate import generate_shop

    torch.set_num_threads(threads)
    folder = out if out is not None else samples_folder() / "models"
    console = Console()
    figures = make_base(generate_shop().items, Recipe(seed=seed), folder / "base.gguf", console)
    write_section(folder, "base", {"command": f"recsys samples base --threads {threads} --seed {seed}", **figures})
    console.print_json(data=figures)


@app.command()
def tuned(
    out: Annotated[Path | None, typer.Option(help="Folder of the models; default: the committed samples.")] = None,
    minutes: Annotated[float, typer.Option(help="Time of the processor for the training, per thread.", min=0.1)] = 20.0,
    threads: Annotated[int, typer.Option(help="Threads of the training.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of weights and examples.", min=0)] = 20260,
    mode: Annotated[
        list[RankingMode] | None,
        typer.Option(help="What to train for; may be repeated. Default: all three.", case_sensitive=False),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="An earlier model to go on from; default: from nothing.", exists=True),
    ] = None,
) -> None:
    """Train the sample tuned model, which makes the list for a customer of the sample shop."""
    from rich.console import Console

    from recsys_finetune.commands.model_report import described, write_section
    from recsys_finetune.evaluation.datasets import load_dataset
    from recsys_finetune.language_model.gguf_import import ForeignModelError
    from recsys_finetune.ranking.making import make_tuned, measure_requests
    from recsys_finetune.ranking.shop_requests import shop_requests
    from recsys_finetune.ranking.tuned_model import TunedPlan, UnknownItemsError

    folder = out if out is not None else samples_folder() / "models"
    console = Console()
    data = load_dataset(samples_folder() / "shop")
    requests = shop_requests(list(data.items.values()))
    modes = tuple(mode or RankingMode)
    # Time of the processor: what else the machine does at the moment is no reason for another model.
    plan = TunedPlan(minutes, threads, seed, lambda: time.process_time() / threads, modes, start)
    path = folder / "tuned.gguf"
    earlier = described(start, "tuned") if start else None
    try:
        figures = make_tuned(data, requests, plan, path, "recsys sample tuned model", console).report()
    except (ForeignModelError, UnknownItemsError) as error:
        raise typer.BadParameter(str(error), param_hint="--from") from None
    figures["requests_in_unseen_phrasings"] = measure_requests(path, data, modes, seed, console)
    command = f"recsys samples tuned --minutes {minutes:g} --threads {threads} --seed {seed}"
    command += "".join(f" --mode {each.value}" for each in mode or ()) + (f" --from {start.name}" if start else "")
    write_section(folder, "tuned", {"command": command, **({"from": earlier} if earlier else {}), **figures})
    console.print_json(data=figures)
