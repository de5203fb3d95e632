"""Makes the tuned model of one catalogue: tokenizer, network, four stages of training. One model for all three modes.

1. sequences: item tokens alone, the teacher's chances at every place: where the items' vectors come from;
2. lists: history, candidates and list as item tokens alone: how to choose among candidates, and none twice;
3. bare prompts: the gateway's prompts with item tokens and the request, but without the texts of items;
4. whole prompts: with titles and details, within the budgets that the gateway may have.

From the second on each example is one of ToolCall, Verbalizer or ItemTokens; the system message tells which.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from recsys_gateway.catalog.records import Item
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.prompt import detailed_line, item_token
from rich.console import Console
from tokenizers import Tokenizer

from recsys_finetune.language_model.llama import LlamaSize, new_llama, pass_values_through
from recsys_finetune.language_model.tokenizer import BOS, PAD, render_chat, token_id, train_tokenizer
from recsys_finetune.language_model.training import Schedule, Trained, train
from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.rank_examples import ExampleWriter, answer, rank_prompt_builder
from recsys_finetune.ranking.rank_training import (
    ExampleSource,
    rank_batches,
    rank_loss,
    sequence_batches,
    sequence_loss,
)
from recsys_finetune.ranking.requests import RequestWriter
from recsys_finetune.ranking.situations import Mix, SituationSampler
from recsys_finetune.ranking.teacher import Teacher
from recsys_finetune.ranking.warm_start import item_token_vectors, start_from

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

HISTORY_LENGTH = 10
ENDLESS = 1_000_000
SEQUENCES = 40
SIZE = LlamaSize(width=128, layers=4, heads=4, feed_forward=352)
MIX = Mix()
TITLES = ("1/4 sequences", "2/4 lists", "3/4 bare prompts", "4/4 whole prompts")


@dataclass(frozen=True, slots=True)
class TunedPlan:
    """``minutes`` for all the training, by ``clock``; ``shares`` of it for the four stages. ``threads`` of torch."""

    minutes: float
    threads: int
    seed: int
    clock: Callable[[], float] = time.monotonic
    shares: tuple[float, float, float, float] = (0.06, 0.34, 0.2, 0.4)
    rates: tuple[float, float, float, float] = (3e-3, 2.5e-3, 2e-3, 1.5e-3)
    vocabulary: int = 2048
    size: LlamaSize = SIZE
    dropout: float = 0.05
    batch_tokens: tuple[int, int, int] = (1280, 1920, 2560)
    budgets: tuple[int, ...] = (256, 384, 512, 512, 512, 1024)
    mix: Mix = MIX


@dataclass(frozen=True, slots=True, eq=False)
class TunedModel:
    """The trained model with what its prompts are written by, and what each stage came to."""

    model: LlamaForCausalLM
    tokenizer: Tokenizer
    writer: ExampleWriter
    stages: tuple[Trained, ...]


def train_tuned_model(
    catalogue: TrainingCatalogue, teacher: Teacher, requests: RequestWriter, plan: TunedPlan, console: Console
) -> TunedModel:
    """Train on ``catalogue.histories`` alone; the seed fixes the data, the time how far it gets."""
    torch.set_num_threads(plan.threads)
    rng = np.random.default_rng(plan.seed)
    sampler = SituationSampler.of(catalogue, teacher, requests, plan.mix)
    tokenizer = catalogue_tokenizer(catalogue, requests, plan, rng)
    model = new_llama(tokenizer, plan.size, plan.seed)
    pass_values_through(model, plan.seed)
    writer = ExampleWriter.of(tokenizer, catalogue.items, catalogue.users)
    start_from(model, writer.token_ids, item_token_vectors(teacher, plan.size.width))
    items, padding = torch.from_numpy(writer.token_ids), token_id(tokenizer, PAD)
    source = ExampleSource(sampler, writer, plan.budgets, rng)
    schedules = [
        Schedule(ENDLESS, rate, seconds=plan.minutes * 60 * share)
        for rate, share in zip(plan.rates, plan.shares, strict=True)
    ]
    stages = [
        train(
            model,
            sequence_batches(sampler, writer, token_id(tokenizer, BOS), SEQUENCES, rng),
            lambda network, batch: sequence_loss(network, batch, items, plan.dropout),
            schedules[0],
            clock=plan.clock,
            console=console,
            title=TITLES[0],
        )
    ]
    draws = (source.compact, source.bare, source.whole)
    for draw, batch_tokens, schedule, title in zip(draws, plan.batch_tokens, schedules[1:], TITLES[1:], strict=True):
        stages.append(
            train(
                model,
                rank_batches(draw, padding, batch_tokens, random.Random(plan.seed)),
                lambda network, batch: rank_loss(network, batch, plan.dropout),
                schedule,
                clock=plan.clock,
                console=console,
                title=title,
            )
        )
    return TunedModel(model, tokenizer, writer, tuple(stages))


def catalogue_tokenizer(
    catalogue: TrainingCatalogue, requests: RequestWriter, plan: TunedPlan, rng: np.random.Generator
) -> Tokenizer:
    """A tokenizer for the prompts of this catalogue, with one token an item."""
    tokens = [item_token(item.id) for item in catalogue.items]
    return train_tokenizer(_corpus(catalogue, requests, rng), plan.vocabulary, tokens)


def _corpus(catalogue: TrainingCatalogue, requests: RequestWriter, rng: np.random.Generator) -> Iterator[str]:
    """The lines of items, requests, traits, and prompts often enough for their frame to become whole tokens."""
    for row, item in enumerate(catalogue.items):
        yield detailed_line(item, ())
        yield f"Request: {requests(row, rng).text}\n"
    for number, user in enumerate(catalogue.users.values()):
        sample: list[Item] = list(catalogue.items[number % len(catalogue.items) :][:3])
        for mode in RankingMode:
            builder = rank_prompt_builder(user, sample, "", sample, ENDLESS, mode)
            yield render_chat(builder.build(len, exact=False).messages)
        yield answer([item_token(item.id) for item in sample])
