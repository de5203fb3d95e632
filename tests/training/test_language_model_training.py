"""The training loop on a tiny model: it learns, it repeats, it ends in time."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from recsys_finetune.language_model.llama import COPY_SCALE, LlamaSize, new_llama, pass_values_through
from recsys_finetune.language_model.tokenizer import Example, train_tokenizer
from recsys_finetune.language_model.training import (
    Schedule,
    completion_batches,
    completion_loss,
    hidden_states,
    train,
)
from rich.console import Console

QUIET = Console(quiet=True)
TOKENIZER = train_tokenizer(["a b c"], 300)
TINY = LlamaSize(width=32, layers=1, heads=2, feed_forward=32, context=64)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # threads that wait for a busy core take longer than the work


def test_padding_changes_nothing() -> None:
    model = new_llama(TOKENIZER, TINY, seed=0).eval()
    with torch.no_grad():
        alone = hidden_states(model, torch.tensor([[5, 6, 7]]))
        padded = hidden_states(model, torch.tensor([[5, 6, 7, 2, 2]]))
    assert torch.allclose(alone[0], padded[0, :3], atol=1e-6)


def test_a_model_learns_a_completion_and_the_same_seed_learns_the_same() -> None:
    examples = [Example((0, 10, 11, 12, 1), 2), Example((0, 20, 21, 22, 1), 2)]

    def learnt() -> tuple[float, torch.Tensor]:
        model = new_llama(TOKENIZER, TINY, seed=0)
        batches = completion_batches(examples, 2, 64, random.Random(0))
        schedule = Schedule(steps=60, rate=1e-2)
        trained = train(model, batches, completion_loss, schedule, clock=lambda: 0.0, console=QUIET, title="t")
        assert trained.steps == 60
        return trained.loss, model.lm_head.weight.detach()

    (loss, weights), (_, again) = learnt(), learnt()
    assert loss < 4.0  # nats a token; the 300 tokens by chance: 5.7
    assert torch.equal(weights, again)


def test_training_ends_when_its_time_is_over() -> None:
    ticks = itertools.count()
    model = new_llama(TOKENIZER, TINY, seed=0)
    batches = completion_batches([Example((0, 10, 1), 1)], 2, 64, random.Random(0))
    schedule = Schedule(steps=1_000_000, rate=1e-3, seconds=5)
    trained = train(
        model, batches, completion_loss, schedule, clock=lambda: float(next(ticks)), console=QUIET, title="t"
    )
    assert trained.steps == 4


def test_a_copier_writes_what_it_reads_for_or_against() -> None:
    model = new_llama(TOKENIZER, TINY, seed=0)
    pass_values_through(model, seed=0)
    attention = model.model.layers[0].self_attn
    through = (attention.o_proj.weight @ attention.v_proj.weight).detach()
    strengths = torch.linalg.eigvalsh(through)
    assert torch.allclose(through, through.T, atol=1e-5)
    assert torch.allclose(strengths.abs(), torch.full((32,), COPY_SCALE), atol=1e-4)
    assert int((strengths > 0).sum()) == 16
