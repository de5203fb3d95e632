"""The commands' own code makes an embedder and a base model, in small: what is written runs as the gateway runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from recsys_finetune.embedder.making import make_embedder
from recsys_finetune.embedder.training import Recipe as EmbedderRecipe
from recsys_finetune.language_model.engine import running_engine
from recsys_finetune.language_model.llama import LlamaSize
from recsys_finetune.language_model.training import Schedule
from recsys_finetune.narration.making import training_worlds
from recsys_finetune.narration.quality import film_prompts, narrate_all
from recsys_finetune.narration.training import Recipe, train_base
from recsys_finetune.shop.assortment import load_assortment
from recsys_finetune.shop.products import make_products
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.subword_hashing import SubwordHashing
from rich.console import Console

QUIET = Console(quiet=True)
torch.set_num_threads(1)  # two threads on a busy machine wait for each other


def shop() -> list[Item]:
    return [product.item for product in make_products(load_assortment(), np.random.default_rng(3), per_kind=2)]


def test_a_short_training_already_beats_hashing_alone(tmp_path: Path) -> None:
    recipe = EmbedderRecipe(hashing=SubwordHashing(buckets=4_096), dimension=64, steps=20, wishes=48, scraps=8)
    figures = make_embedder(shop(), recipe, tmp_path, QUIET)
    key = "recall_at_10_held_out_phrasings"
    trained, untrained = figures["measured"], figures["untrained"]
    assert isinstance(trained, dict)
    assert isinstance(untrained, dict)
    assert trained[key] > untrained[key] + 0.1
    assert Embedder.load(tmp_path).dimension == 64


def test_a_base_model_is_trained_written_and_served(tmp_path: Path) -> None:
    size = LlamaSize(width=64, layers=1, heads=2, feed_forward=64)
    recipe = Recipe(narrow_pairs=60, broad_pairs=60, narrow_steps=3, size=size, schedule=Schedule(steps=6, rate=3e-3))
    worlds, path = training_worlds(shop()), tmp_path / "base.gguf"
    made = train_base(worlds, recipe, path, QUIET)
    assert made.steps == 6
    assert made.bytes == path.stat().st_size
    with running_engine(path) as url:
        (narrated,) = narrate_all(url, film_prompts(worlds, 1, np.random.default_rng(0)), slots=1)
    assert isinstance(narrated.answer, str)
