"""The sample base model from its recipe: trained, written, and tried through llama.cpp on what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from recsys_gateway.catalog.records import Item
from rich.console import Console

from recsys_finetune.language_model.engine import running_engine
from recsys_finetune.narration.quality import Narrated, film_prompts, held_out_prompts, narrate_all, shares
from recsys_finetune.narration.training import Recipe, train_base
from recsys_finetune.narration.worlds import Worlds, load_words, signature
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.queries import held_out_products

PROMPTS, KOREAN_PROMPTS, FILM_PROMPTS = 300, 100, 100
EXAMPLES = 10


def training_worlds(items: Sequence[Item]) -> Worlds:
    """What training may draw from: everything but the products that ``held_out_products`` names."""
    unseen = held_out_products(items)
    forbidden = frozenset(signature(item) for item in items if item.id in unseen)
    return Worlds(load_assortment(), load_words(), forbidden)


def make_base(items: Sequence[Item], recipe: Recipe, path: Path, console: Console) -> dict[str, object]:
    """Writes the model to ``path``; gives its figures and some of its answers."""
    worlds = training_worlds(items)
    made = train_base(worlds, recipe, path, console)
    with console.status("Asking the model about products that it never saw"):
        groups = try_base(items, worlds, path, recipe.seed)
    shown = groups["held_out_products_and_phrasings"][:EXAMPLES]
    return {
        "seed": recipe.seed,
        "parameters": made.parameters,
        "bytes": made.bytes,
        "steps": made.steps,
        "training_seconds": round(made.seconds),
        "threads": torch.get_num_threads(),
        "loss": round(made.loss, 4),
        "measured": {name: shares(narrated) for name, narrated in groups.items()},
        "examples": [{"prompt": each.prompt.messages[-1].content, "answer": each.answer} for each in shown],
    }


def try_base(items: Sequence[Item], worlds: Worlds, path: Path, seed: int) -> dict[str, list[Narrated]]:
    """Answers by group, at temperature 0 through llama.cpp: held-out products in English and Korean, made-up films."""
    rng = np.random.default_rng(seed)
    unseen = held_out_products(items)
    held_out = [item for item in items if item.id in unseen]
    prompts = {
        "held_out_products_and_phrasings": held_out_prompts(held_out, PROMPTS, rng, korean=False),
        "korean": held_out_prompts(held_out, KOREAN_PROMPTS, rng, korean=True),
        "films": film_prompts(worlds, FILM_PROMPTS, rng),
    }
    with running_engine(path) as url:
        return {name: narrate_all(url, group, slots=1) for name, group in prompts.items()}
