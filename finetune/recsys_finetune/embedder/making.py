"""The sample embedder from its recipe: trained, written, checked against torch, measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from recsys_gateway.catalog.embedding import Embedder
from recsys_gateway.catalog.records import Item
from rich.console import Console

from recsys_finetune.embedder.onnx_export import write_embedder
from recsys_finetune.embedder.quality import measure
from recsys_finetune.embedder.training import Recipe, bag_vectors, train_embedder, untrained_table
from recsys_finetune.shop.queries import held_out_products

AGREEMENT = 0.9999


class ExportError(RuntimeError):
    """The written model does not give the vectors of the trained one."""


def make_embedder(items: Sequence[Item], recipe: Recipe, folder: Path, console: Console) -> dict[str, object]:
    """Writes the embedder to ``folder``; gives its figures beside those of the same hashing without training.

    Raises:
        ExportError: ONNX Runtime and torch disagree.
    """
    unseen = held_out_products(items)
    made = train_embedder([item for item in items if item.id not in unseen], recipe, console)
    write_embedder(folder, made.table, made.hashing)
    embedder = Embedder.load(folder)
    texts = [item.document for item in items]
    agreement = float((embedder.embed(texts) * bag_vectors(made.table, made.hashing, texts)).sum(1).min())
    if agreement < AGREEMENT:
        raise ExportError(f"{folder}: the model there agrees with the trained one only to a cosine of {agreement:.5f}")
    untrained = untrained_table(recipe)

    def hashed(asked: Sequence[str]) -> NDArray[np.float32]:
        return bag_vectors(untrained, recipe.hashing, asked)

    return {
        "seed": recipe.seed,
        "dimension": recipe.dimension,
        "buckets": recipe.hashing.buckets,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "training_cpu_seconds": round(made.seconds),
        "threads": torch.get_num_threads(),
        "cosine_onnx_torch": round(agreement, 6),
        "measured": measure(embedder.embed, items, unseen, recipe.seed),
        "untrained": measure(hashed, items, unseen, recipe.seed),
    }
