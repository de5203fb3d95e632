"""Losses and batches of the tuned model: first bare sequences of item tokens, then lists after whole prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from recsys_gateway.config import RankingMode
from torch import Tensor
from torch.nn import functional

from recsys_finetune.language_model.training import IGNORED, hidden_states, length_batches
from recsys_finetune.ranking.rank_examples import ExampleWriter, RankExample
from recsys_finetune.ranking.situations import Situation, SituationSampler, preferred_order

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

MODES = (RankingMode.TOOL_CALL, RankingMode.VERBALIZER, RankingMode.ITEM_TOKENS)
MODE_SHARES = (0.5, 0.25, 0.25)
"""Of the examples; those of ItemTokens are so short that they take a tenth of the time."""
SYNTAX_WEIGHT = 0.1
FREE_WEIGHT = 0.2
CHUNK = 256
ORDER_NOISE = (0.0, 0.0, 0.3)
SEQUENCE_LENGTH = 11


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """``ids`` (B, L) of item tokens after the beginning; ``chances`` (B, L, items) of the item that comes next."""

    ids: Tensor
    chances: Tensor


@dataclass(frozen=True, slots=True)
class RankBatch:
    """``ids`` (B, L) padded on the right; ``labels`` (B, L) of the syntax, each at the position before it.

    ``places`` (n,): positions before an item, in the flattened batch; ``tokens`` and ``weights`` (n, K): its chances;
    ``shown`` (n, K) is false where there is no candidate.
    """

    ids: Tensor
    labels: Tensor
    places: Tensor
    tokens: Tensor
    weights: Tensor
    shown: Tensor


def sequence_batches(
    sampler: SituationSampler, writer: ExampleWriter, bos: int, size: int, rng: np.random.Generator
) -> Iterator[SequenceBatch]:
    """Windows of the histories, with the teacher's chances at every place; without end.

    What really came is not lifted here: a network that is run over the same histories so often learns it by heart.
    """
    while True:
        ids = np.full((size, SEQUENCE_LENGTH), bos, dtype=np.int64)
        chances = np.zeros((size, SEQUENCE_LENGTH, len(writer.items)), dtype=np.float32)
        for row in range(size):
            user, sequence = sampler.histories[int(rng.integers(len(sampler.histories)))]
            start = int(rng.integers(max(1, len(sequence) - SEQUENCE_LENGTH + 1)))
            window = sequence[start : start + SEQUENCE_LENGTH]
            ids[row, 1 : len(window)] = writer.token_ids[window[:-1]]
            chances[row, : len(window)] = sampler.teacher.along(window[:-1], user)
        yield SequenceBatch(torch.from_numpy(ids), torch.from_numpy(chances))


def sequence_loss(model: LlamaForCausalLM, batch: SequenceBatch, items: Tensor, dropout: float) -> Tensor:
    """Cross-entropy of the chances, over item tokens alone, whose ids are ``items``. Rows of zeros are padding."""
    there = batch.chances.sum(dim=-1) > 0
    states = hidden_states(model, batch.ids, dropout)[there]
    logits = states @ model.get_input_embeddings().weight[items].T
    return -(batch.chances[there] * functional.log_softmax(logits.float(), dim=-1)).sum(dim=-1).mean()


def rank_batches(
    draw: Callable[[], RankExample], padding: int, batch_tokens: int, shuffler: random.Random
) -> Iterator[RankBatch]:
    """Examples drawn anew without end, in batches of like length."""
    while True:
        examples = [draw() for _ in range(CHUNK)]
        for indices in length_batches([len(example.ids) for example in examples], batch_tokens, shuffler):
            yield rank_batch([examples[index] for index in indices], padding)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSource:
    """Draws situations and writes them: as item tokens alone, as bare prompts, as whole ones; for a mode each."""

    sampler: SituationSampler
    writer: ExampleWriter
    budgets: tuple[int, ...]
    rng: np.random.Generator

    def compact(self) -> RankExample:
        situation, order = self._draw(request=False)
        match self._mode():
            case RankingMode.TOOL_CALL:
                return self.writer.write_compact(situation, order)
            case RankingMode.VERBALIZER:
                return self.writer.write_compact_letter(situation, self._seed())
            case RankingMode.ITEM_TOKENS:
                return self.writer.write_item(situation, max(self.budgets))

    def bare(self) -> RankExample:
        return self._prompted(max(self.budgets), with_texts=False)

    def whole(self) -> RankExample:
        return self._prompted(int(self.rng.choice(self.budgets)), with_texts=True)

    def _prompted(self, budget: int, *, with_texts: bool) -> RankExample:
        situation, order = self._draw(request=True)
        match self._mode():
            case RankingMode.TOOL_CALL:
                return self.writer.write(situation, order, budget, with_texts=with_texts)
            case RankingMode.VERBALIZER:
                return self.writer.write_letter(situation, budget, self._seed(), with_texts=with_texts)
            case RankingMode.ITEM_TOKENS:
                return self.writer.write_item(situation, budget)

    def _mode(self) -> RankingMode:
        return MODES[int(self.rng.choice(len(MODES), p=MODE_SHARES))]

    def _seed(self) -> int:
        return int(self.rng.integers(2**31))

    def _draw(self, *, request: bool) -> tuple[Situation, Sequence[int]]:
        situation = self.sampler.draw(self.rng, request=request)
        return situation, preferred_order(situation.likelihood, self.rng, noise=float(self.rng.choice(ORDER_NOISE)))


def rank_batch(examples: Sequence[RankExample], padding: int) -> RankBatch:
    """Examples as one batch; choices with fewer candidates than the most are filled up with weight 0."""
    longest = max(len(example.ids) for example in examples)
    widest = max((len(choice.tokens) for example in examples for choice in example.choices), default=1)
    ids = np.full((len(examples), longest), padding, dtype=np.int64)
    labels = np.full((len(examples), longest), IGNORED, dtype=np.int64)
    choices = [(row, choice) for row, example in enumerate(examples) for choice in example.choices]
    tokens = np.zeros((len(choices), widest), dtype=np.int64)
    weights = np.zeros((len(choices), widest), dtype=np.float32)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        labels[row, example.prompt_length - 1 : len(example.ids) - 1] = example.ids[example.prompt_length :]
    shown = np.zeros((len(choices), widest), dtype=np.bool_)
    places = np.zeros(len(choices), dtype=np.int64)
    for number, (row, choice) in enumerate(choices):
        labels[row, choice.position - 1] = IGNORED
        places[number] = row * longest + choice.position - 1
        tokens[number, : len(choice.tokens)] = choice.tokens
        weights[number, : len(choice.weights)] = choice.weights
        shown[number, : len(choice.tokens)] = True
    return RankBatch(*map(torch.from_numpy, (ids, labels, places, tokens, weights, shown)))


def rank_loss(model: LlamaForCausalLM, batch: RankBatch, dropout: float) -> Tensor:
    """Cross-entropy of the chances at each place of the list, and a little of the syntax.

    Mostly over the candidates alone, said ones included: that is the choice that a schema leaves when the model is
    served. A part over the whole vocabulary teaches it to name candidates where nothing holds it to them.
    """
    states = hidden_states(model, batch.ids, dropout).flatten(0, 1)
    logits = model.lm_head(states[batch.places]).float()
    of_candidates = logits.gather(1, batch.tokens).masked_fill(~batch.shown, -torch.inf)
    chosen = functional.log_softmax(of_candidates, dim=-1).masked_fill(~batch.shown, 0.0)
    choice = -(batch.weights * chosen).sum(dim=-1).mean()
    free = -(batch.weights * functional.log_softmax(logits, dim=-1).gather(1, batch.tokens)).sum(dim=-1).mean()
    labels = batch.labels.flatten()
    scored = labels != IGNORED
    of_syntax = functional.cross_entropy(model.lm_head(states[scored]).float(), labels[scored])
    return choice + FREE_WEIGHT * free + SYNTAX_WEIGHT * of_syntax
