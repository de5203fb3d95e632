"""Trains the sample base model, from random weights to GGUF."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from recsys_gateway.recommend.prompt import NARRATE_SYSTEM
from rich.console import Console
from tokenizers import Tokenizer

from recsys_finetune.language_model.gguf_export import Precision, export_gguf
from recsys_finetune.language_model.llama import LlamaSize, new_llama, parameters
from recsys_finetune.language_model.tokenizer import PAD, chat_example, token_id, train_tokenizer
from recsys_finetune.language_model.training import (
    Schedule,
    TokenBatch,
    completion_batches,
    completion_loss,
    train,
)
from recsys_finetune.narration.pairs import Pair, random_pair
from recsys_finetune.narration.worlds import NARROW, Worlds

MODEL_NAME = "recsys sample base"
VOCABULARY = 2304
TOKENIZER_PAIRS = 8_000
BATCH_TOKENS = 1_536
NUMBERS = 10
SIZE = LlamaSize(width=160, layers=4, heads=5, feed_forward=448)
SCHEDULE = Schedule(steps=7_000, rate=3e-3)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes the sample base model: ``narrow_steps`` on few words first, then the rest on all of them.

    Pairs are drawn once and gone through again when they end.
    """

    seed: int = 20260
    narrow_pairs: int = 25_000
    broad_pairs: int = 50_000
    narrow_steps: int = 2_000
    size: LlamaSize = SIZE
    schedule: Schedule = SCHEDULE


@dataclass(frozen=True, slots=True)
class MadeModel:
    """What training came to; ``seconds`` are those of the training loop, ``bytes`` the size of the file."""

    steps: int
    seconds: float
    loss: float
    parameters: int
    bytes: int


def narration_tokenizer(pairs: list[Pair]) -> Tokenizer:
    """Words as tokens, and one token each for the fixed instruction and for the numbers of the items.

    The instruction never changes, so the model has nothing to read in it: as one token it costs next to nothing.
    """
    texts = [text for pair in pairs for text in (pair.prompt.messages[-1].content, pair.answer)]
    whole = [NARRATE_SYSTEM, *(f"[{number}]" for number in range(1, NUMBERS + 1))]
    return train_tokenizer(texts, VOCABULARY, whole)


def train_base(worlds: Worlds, recipe: Recipe, path: Path, console: Console) -> MadeModel:
    """Draw the pairs, train, and write ``path``. The same seed gives the same model on the same machine."""
    rng = np.random.default_rng(recipe.seed)
    with console.status("Writing training pairs"):
        narrow = [random_pair(replace(worlds, shares=NARROW), rng) for _ in range(recipe.narrow_pairs)]
        broad = [random_pair(worlds, rng) for _ in range(recipe.broad_pairs)]
        tokenizer = narration_tokenizer([*narrow[:TOKENIZER_PAIRS], *broad[:TOKENIZER_PAIRS]])
    model = new_llama(tokenizer, recipe.size, recipe.seed, deviation=recipe.size.width**-0.5)
    shuffled = random.Random(recipe.seed)
    stages = (_batches(tokenizer, narrow, shuffled), _batches(tokenizer, broad, shuffled))
    done = train(
        model,
        chain(islice(stages[0], recipe.narrow_steps), stages[1]),
        completion_loss,
        recipe.schedule,
        clock=time.monotonic,
        console=console,
        title="Training the base model",
    )
    written = export_gguf(model, tokenizer, path, name=MODEL_NAME, precision=Precision.Q8_0)
    return MadeModel(done.steps, done.seconds, done.loss, parameters(model), written)


def _batches(tokenizer: Tokenizer, pairs: Sequence[Pair], rng: random.Random) -> Iterator[TokenBatch]:
    examples = [chat_example(tokenizer, pair.prompt.messages, pair.answer) for pair in pairs]
    return completion_batches(examples, token_id(tokenizer, PAD), BATCH_TOKENS, rng)
