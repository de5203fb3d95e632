"""The schedule and the batches of the small models' training."""

from __future__ import annotations

import itertools
import random

import pytest
from recsys_finetune.language_model.llama import LlamaSize
from recsys_finetune.language_model.tokenizer import Example
from recsys_finetune.language_model.training import (
    IGNORED,
    completion_batch,
    learning_rate,
    length_batches,
)


def test_the_rate_rises_then_falls_to_a_floor() -> None:
    rates = [learning_rate(done / 100, 1.0) for done in range(101)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[100] == pytest.approx(0.05)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_batches_hold_every_example_once_and_no_more_tokens_than_allowed() -> None:
    lengths = [random.Random(1).randint(1, 50) for _ in range(300)]
    batches = length_batches(lengths, 200, random.Random(0))
    assert sorted(itertools.chain.from_iterable(batches)) == list(range(300))
    assert all(max(lengths[i] for i in batch) * len(batch) <= 200 for batch in batches)


def test_only_the_completion_earns_a_loss() -> None:
    batch = completion_batch([Example((5, 6, 7, 8), 2), Example((5, 9), 1)], padding=2)
    assert batch.ids.tolist() == [[5, 6, 7, 8], [5, 9, 2, 2]]
    assert batch.labels.tolist() == [[IGNORED, 7, 8, IGNORED], [9, IGNORED, IGNORED, IGNORED]]


def test_widths_that_q8_cannot_store_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        LlamaSize(width=100)
    with pytest.raises(ValueError, match="heads"):
        LlamaSize(width=96, heads=7)
