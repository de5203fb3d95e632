"""Makes the tuned model of one catalogue: tokenizer, network, stages of training. One model for all three modes.

From nothing:
1. sequences: item tokens alone, the teacher's chances at every place: where the items' vectors come from;
2. lists: history, candidates and list as item tokens alone: how to choose among candidates, and none twice;
3. bare prompts: the gateway's prompts with item tokens and the request, but without the texts of items;
4. whole prompts: with titles and details, within the budgets that the gateway may have.

From the second on each example is of one of the modes; the system message tells which. Where Verbalizer is among them,
a layer that points is put on top after the first stage (``pointer_layer``).

From an earlier model, whose vocabulary must hold the items: letters and item tokens first, then whole prompts; the tool
call is among them from the first step, or it would be forgotten in a minute.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from recsys_gateway.catalog.records import Item
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.prompt import detailed_line, item_token
from rich.console import Console
from tokenizers import Tokenizer
from torch import Tensor

from recsys_finetune.language_model.gguf_import import load_gguf
from recsys_finetune.language_model.llama import LlamaSize, new_llama, pass_values_through
from recsys_finetune.language_model.tokenizer import PAD, render_chat, token_id, train_tokenizer
from recsys_finetune.language_model.training import Schedule, Trained, train
from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.pointer_layer import with_pointer
from recsys_finetune.ranking.rank_examples import ExampleWriter, answer, rank_prompt_builder
from recsys_finetune.ranking.rank_training import (
    Blend,
    ExampleSource,
    Form,
    RankBatch,
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
SHOWN_TO_POINT = 32
SIZE = LlamaSize(width=128, layers=4, heads=4, feed_forward=352)
MIX = Mix()
TOOL_CALL, VERBALIZER, ITEM_TOKENS = RankingMode.TOOL_CALL, RankingMode.VERBALIZER, RankingMode.ITEM_TOKENS


@dataclass(frozen=True, slots=True)
class Lesson:
    """A stage of the training: its share of the time, peak of the learning rate, tokens a batch, and examples."""

    title: str
    share: float
    rate: float
    batch_tokens: int
    blend: Blend

    def of(self, modes: Collection[RankingMode]) -> Lesson:
        """The lesson without the examples of other modes."""
        return replace(self, blend={kind: share for kind, share in self.blend.items() if kind[0] in modes})


def _alike(form: Form) -> Blend:
    """The modes in one form. Examples of ItemTokens are so short that they take a tenth of the time."""
    return {(TOOL_CALL, form): 0.5, (VERBALIZER, form): 0.25, (ITEM_TOKENS, form): 0.25}


SEQUENCES_SHARE, SEQUENCES_RATE = 0.06, 3e-3
FROM_NOTHING = (
    Lesson("2/4 lists", 0.34, 2.5e-3, 1280, _alike(Form.COMPACT)),
    Lesson("3/4 bare prompts", 0.2, 2e-3, 1920, _alike(Form.BARE)),
    Lesson("4/4 whole prompts", 0.4, 1.5e-3, 2560, _alike(Form.WHOLE)),
)
FROM_A_MODEL = (
    Lesson(
        "1/2 letters, items",
        0.3,
        1.5e-3,
        1280,
        {(TOOL_CALL, Form.WHOLE): 0.1, (VERBALIZER, Form.COMPACT): 0.5, (ITEM_TOKENS, Form.WHOLE): 0.4},
    ),
    Lesson(
        "2/2 whole prompts",
        0.7,
        1.2e-3,
        2048,
        {
            (TOOL_CALL, Form.WHOLE): 0.4,
            (VERBALIZER, Form.BARE): 0.12,
            (VERBALIZER, Form.WHOLE): 0.2,
            (ITEM_TOKENS, Form.WHOLE): 0.28,
        },
    ),
)


class UnknownItemsError(ValueError):
    """A model to start from whose vocabulary lacks items of the catalogue; the message names one of them."""


@dataclass(frozen=True, slots=True)
class TunedPlan:
    """``minutes`` for all the training, by ``clock``. ``threads`` of torch. ``modes`` that the model is trained for.

    ``start``: the GGUF file of an earlier model to go on from; None: from nothing."""

    minutes: float
    threads: int
    seed: int
    clock: Callable[[], float] = time.monotonic
    modes: tuple[RankingMode, ...] = tuple(RankingMode)
    start: Path | None = None
    vocabulary: int = 2048
    size: LlamaSize = SIZE
    dropout: float = 0.05
    budgets: tuple[int, ...] = (256, 384, 512, 512, 512, 1024)
    mix: Mix = MIX

    @property
    def lessons(self) -> list[Lesson]:
        return [lesson.of(self.modes) for lesson in (FROM_A_MODEL if self.start else FROM_NOTHING)]

    def schedule(self, rate: float, share: float) -> Schedule:
        return Schedule(ENDLESS, rate, seconds=self.minutes * 60 * share)


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
    """Train on ``catalogue.histories`` alone; the seed fixes the data, the time how far it gets.

    Raises:
        ForeignModelError, UnknownItemsError: ``plan.start`` is no model of this catalogue.
    """
    torch.set_num_threads(plan.threads)
    rng = np.random.default_rng(plan.seed)
    sampler = SituationSampler.of(catalogue, teacher, requests, plan.mix)
    stages: list[Trained] = []
    if plan.start:
        model, tokenizer = load_gguf(plan.start)
        _know_items(tokenizer, catalogue, plan.start)
        writer = ExampleWriter.of(tokenizer, catalogue.items, catalogue.users)
    else:
        tokenizer = catalogue_tokenizer(catalogue, requests, plan, rng)
        writer = ExampleWriter.of(tokenizer, catalogue.items, catalogue.users)
        model = new_llama(tokenizer, plan.size, plan.seed)
        pass_values_through(model, plan.seed)
        stages.append(_learn_sequences(model, sampler, writer, plan, rng, console))
    source = ExampleSource(sampler, writer, plan.budgets, rng)
    if VERBALIZER in plan.modes and model.config.num_hidden_layers == plan.size.layers:
        model = _with_pointer(model, source, teacher, plan)
    padding = token_id(tokenizer, PAD)
    for lesson in plan.lessons:
        batches = rank_batches(source.drawing(lesson.blend), padding, lesson.batch_tokens, random.Random(plan.seed))
        schedule = plan.schedule(lesson.rate, lesson.share)

        def loss(network: LlamaForCausalLM, batch: RankBatch) -> Tensor:
            return rank_loss(network, batch, plan.dropout)

        stages.append(train(model, batches, loss, schedule, clock=plan.clock, console=console, title=lesson.title))
    return TunedModel(model, tokenizer, writer, tuple(stages))


def _know_items(tokenizer: Tokenizer, catalogue: TrainingCatalogue, start: Path) -> None:
    missing = [item.id for item in catalogue.items if tokenizer.token_to_id(item_token(item.id)) is None]
    if missing:
        raise UnknownItemsError(
            f"{start}: {len(missing)} of the catalogue's {len(catalogue.items)} items have no token there, such as "
            f"{missing[0]}; train from nothing"
        )


def _learn_sequences(
    model: LlamaForCausalLM,
    sampler: SituationSampler,
    writer: ExampleWriter,
    plan: TunedPlan,
    rng: np.random.Generator,
    console: Console,
) -> Trained:
    start_from(model, writer.token_ids, item_token_vectors(sampler.teacher, plan.size.width))
    items = torch.from_numpy(writer.token_ids)
    return train(
        model,
        sequence_batches(sampler, writer, writer.marks[0], SEQUENCES, rng),
        lambda network, batch: sequence_loss(network, batch, items, plan.dropout),
        plan.schedule(SEQUENCES_RATE, SEQUENCES_SHARE),
        clock=plan.clock,
        console=console,
        title="1/4 sequences",
    )


def _with_pointer(
    model: LlamaForCausalLM, source: ExampleSource, teacher: Teacher, plan: TunedPlan
) -> LlamaForCausalLM:
    forms = (Form.COMPACT, Form.WHOLE) if plan.start else (Form.COMPACT, Form.BARE)
    examples = [source.example(VERBALIZER, form) for form in forms for _ in range(SHOWN_TO_POINT)]
    return with_pointer(model, source.writer, teacher, examples, plan.seed)


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
