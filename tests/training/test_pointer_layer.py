"""The layer that points, on a tiny model: it changes little by itself, and its steps are learnt."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch
from recsys_finetune.language_model.llama import LlamaSize, new_llama, pass_values_through
from recsys_finetune.language_model.tokenizer import PAD, token_id, train_tokenizer
from recsys_finetune.language_model.training import Schedule, all_hidden_states, hidden_states, train
from recsys_finetune.ranking.catalogue import TrainingCatalogue
from recsys_finetune.ranking.pointer_layer import with_pointer
from recsys_finetune.ranking.rank_examples import ExampleWriter
from recsys_finetune.ranking.rank_training import (
    ExampleSource,
    Form,
    pointer_losses,
    rank_batch,
    rank_batches,
    rank_loss,
)
from recsys_finetune.ranking.requests import CatalogueRequests
from recsys_finetune.ranking.situations import Mix, SituationSampler
from recsys_finetune.ranking.teacher import Teacher
from recsys_finetune.ranking.warm_start import item_token_vectors, start_from
from recsys_gateway.catalog.records import Item, User
from recsys_gateway.config import RankingMode
from recsys_gateway.recommend.prompt import item_token
from rich.console import Console
from transformers import LlamaForCausalLM

SIZE = LlamaSize(width=64, layers=2, heads=2, feed_forward=64, context=512)
ITEMS = tuple(Item(f"I-{n:02d}", f"thing {n}", categories=(f"kind {n % 4}",)) for n in range(40))
HISTORIES = {f"u{n}": tuple(ITEMS[(n * 3 + step * 5) % 40].id for step in range(8)) for n in range(30)}
CATALOGUE = TrainingCatalogue(ITEMS, {name: User(name) for name in HISTORIES}, HISTORIES)
TOKENIZER = train_tokenizer([item.title for item in ITEMS], 400, [item_token(item.id) for item in ITEMS])
LETTERS = {(RankingMode.VERBALIZER, Form.COMPACT): 1.0}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for a busy core take longer than the work


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher.fit(CATALOGUE, history_length=10)


@pytest.fixture
def source(teacher: Teacher) -> ExampleSource:
    sampler = SituationSampler.of(CATALOGUE, teacher, CatalogueRequests.of(ITEMS).write, Mix())
    writer = ExampleWriter.of(TOKENIZER, ITEMS, CATALOGUE.users)
    return ExampleSource(sampler, writer, (400,), np.random.default_rng(4))


@pytest.fixture
def plain(source: ExampleSource, teacher: Teacher) -> LlamaForCausalLM:
    model = new_llama(TOKENIZER, SIZE, seed=1)
    pass_values_through(model, seed=1)
    start_from(model, source.writer.token_ids, item_token_vectors(teacher, SIZE.width))
    return model.eval()


@pytest.fixture
def pointing(plain: LlamaForCausalLM, source: ExampleSource, teacher: Teacher) -> LlamaForCausalLM:
    examples = [source.example(RankingMode.VERBALIZER, form) for form in (Form.COMPACT, Form.WHOLE) for _ in range(16)]
    return with_pointer(plain, source.writer, teacher, examples, seed=1).eval()


def test_the_layer_changes_little_of_what_is_said_of_items(
    plain: LlamaForCausalLM, pointing: LlamaForCausalLM, source: ExampleSource
) -> None:
    example = source.example(RankingMode.ITEM_TOKENS, Form.WHOLE)
    items = torch.from_numpy(source.writer.token_ids)
    with torch.no_grad():
        before, after = (
            torch.log_softmax(model.lm_head(hidden_states(model, torch.tensor([example.ids])))[0, :, items], dim=-1)
            for model in (plain, pointing)
        )
    assert (before.exp() - after.exp()).abs().sum(
        dim=-1
    ).mean() < 0.5  # of 2, and half of this tiny model's width is the letters'


def test_each_step_to_a_letter_is_learnt(pointing: LlamaForCausalLM, source: ExampleSource) -> None:
    held_out = rank_batch([source.example(RankingMode.VERBALIZER, Form.COMPACT) for _ in range(16)], padding=2)

    def losses() -> list[float]:
        with torch.no_grad():
            return [
                float(each) for each in pointer_losses(pointing, held_out, all_hidden_states(pointing, held_out.ids))
            ]

    before = losses()
    batches = rank_batches(source.drawing(LETTERS), token_id(TOKENIZER, PAD), 1000, random.Random(1))
    schedule, loss = Schedule(steps=60, rate=3e-3), partial(rank_loss, dropout=0.0)
    train(pointing, batches, loss, schedule, clock=lambda: 0.0, console=Console(quiet=True), title="t")
    told, _, found = (after - earlier for after, earlier in zip(losses(), before, strict=True))
    assert told < -1.0
    assert found < 0.0
