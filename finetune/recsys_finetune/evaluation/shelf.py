"""What the lists of a data set are measured against, with the text vectors of its items where an embedder is there."""

from __future__ import annotations

from pathlib import Path

from recsys_gateway.catalog.embedding import Embedder

from recsys_finetune.evaluation.datasets import Dataset
from recsys_finetune.evaluation.protocol import training_histories
from recsys_finetune.evaluation.summary import Shelf


def make_shelf(data: Dataset, embedder: Path) -> Shelf:
    """The shelf of ``data``; without the folder ``embedder`` its vectors are absent, and with them the ILD by cosine.

    Raises:
        EmbedderError: the folder is there and holds no embedder.
    """
    vectors = {}
    if embedder.is_dir():
        embedded = Embedder.load(embedder).embed([item.document for item in data.items.values()])
        vectors = dict(zip(data.items, embedded, strict=True))
    return Shelf(data.items, frozenset(data.catalogue), vectors, training_histories(data.histories))
