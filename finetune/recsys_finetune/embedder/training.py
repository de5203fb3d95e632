"""Trains the sample embedder: a table of hashed subwords whose sum is the text's vector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from recsys_gateway.catalog.records import Item
from recsys_gateway.catalog.subword_hashing import SubwordHashing
from recsys_gateway.catalog.subword_hashing import words as split_words
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from recsys_finetune.embedder.pairs import Ask, lexical_pair, shop_ask
from recsys_finetune.shop.queries import satisfies

TEMPERATURE = 0.07
HASHING = SubwordHashing(buckets=16_384, min_n=3, max_n=5, max_tokens=1024)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes the sample embedder. 16,384 buckets of 128 float16 numbers are 4.2 MB."""

    seed: int = 20260
    hashing: SubwordHashing = HASHING
    dimension: int = 128
    steps: int = 1_200
    wishes: int = 96
    scraps: int = 96
    rate: float = 1.5e-3


@dataclass(frozen=True, slots=True)
class MadeEmbedder:
    """``table`` is float32 [buckets, d]; ``seconds`` those of the processor in the training loop."""

    table: NDArray[np.float32]
    hashing: SubwordHashing
    seconds: float
    loss: float


class BagEncoder(torch.nn.Module):
    """Sum of the subwords' vectors, unit length: what ``onnx_export`` writes as a graph."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum")

    def forward(self, texts: Sequence[Sequence[int]]) -> Tensor:
        flat = torch.tensor([index for text in texts for index in text])
        lengths = torch.tensor([0, *map(len, texts)])
        summed: Tensor = self.bag(flat, lengths.cumsum(0)[:-1])
        return functional.normalize(summed, dim=1)


def untrained_table(recipe: Recipe) -> NDArray[np.float32]:
    """The table before training: hashing alone, what training starts from and is compared with.

    Rows are random and about of length one: a word that training never meets still tells texts apart.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    start = torch.randn(recipe.hashing.buckets, recipe.dimension, generator=generator) / recipe.dimension**0.5
    table: NDArray[np.float32] = start.numpy()
    return table


def train_embedder(items: Sequence[Item], recipe: Recipe, console: Console) -> MadeEmbedder:
    """Train on questions that ``items`` answer and on made-up titles; the same seed gives the same table."""
    rng = np.random.default_rng(recipe.seed)
    encoder = BagEncoder(torch.from_numpy(untrained_table(recipe)))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=recipe.rate)
    documents = [recipe.hashing.ids(item.document) for item in items]
    vocabulary = sorted({word for item in items for word in split_words(item.document)})
    started, mean = time.process_time(), 0.0
    for step in track(range(recipe.steps), "Training the embedder", console=console):
        optimizer.param_groups[0]["lr"] = recipe.rate * (1 - step / recipe.steps)
        loss = _wish_loss(encoder, items, documents, recipe, rng) + _scrap_loss(encoder, vocabulary, recipe, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        optimizer.step()
        mean = loss.item() if step == 0 else mean + 0.02 * (loss.item() - mean)
    return MadeEmbedder(_table(encoder), recipe.hashing, time.process_time() - started, mean)


def _wish_loss(
    encoder: BagEncoder,
    items: Sequence[Item],
    documents: Sequence[Sequence[int]],
    recipe: Recipe,
    rng: np.random.Generator,
) -> Tensor:
    """Cross-entropy of the own item among those of the batch; others that fit the wish as well are left out."""
    chosen = rng.choice(len(items), size=min(recipe.wishes, len(items)), replace=False)
    asks = [shop_ask(items[index], rng) for index in chosen]
    queries = encoder([recipe.hashing.ids(ask.text) for ask in asks])
    scores = queries @ encoder([documents[index] for index in chosen]).T / TEMPERATURE
    return functional.cross_entropy(scores.masked_fill(_also_right(asks), -torch.inf), torch.arange(len(asks)))


def _also_right(asks: Sequence[Ask]) -> Tensor:
    """[i, j]: item j is not that of ask i, yet answers it."""
    rows = [
        [ask is not other and ask.wish is not None and satisfies(other.item, ask.wish) for other in asks]
        for ask in asks
    ]
    return torch.tensor(rows)


def _scrap_loss(encoder: BagEncoder, vocabulary: Sequence[str], recipe: Recipe, rng: np.random.Generator) -> Tensor:
    pairs = [lexical_pair(vocabulary, rng) for _ in range(recipe.scraps)]
    scraps = encoder([recipe.hashing.ids(scrap) for scrap, _ in pairs])
    documents = encoder([recipe.hashing.ids(document) for _, document in pairs])
    return functional.cross_entropy(scraps @ documents.T / TEMPERATURE, torch.arange(len(pairs)))


def bag_vectors(table: NDArray[np.float32], hashing: SubwordHashing, texts: Sequence[str]) -> NDArray[np.float32]:
    """What torch makes of ``texts`` with ``table``: [n, d], unit length."""
    with torch.no_grad():
        vectors: NDArray[np.float32] = BagEncoder(torch.from_numpy(table))(
            [hashing.ids(text) for text in texts]
        ).numpy()
    return vectors


def _table(encoder: BagEncoder) -> NDArray[np.float32]:
    table: NDArray[np.float32] = encoder.bag.weight.detach().numpy().astype(np.float32)
    return table
