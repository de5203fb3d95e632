"""Losses and batches of the tuned model: first bare sequences of item tokens, then lists after whole prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import torch
from recsys_gateway.config import RankingMode
from torch import Tensor
from torch.nn import functional

from recsys_finetune.language_model.training import IGNORED, all_hidden_states, hidden_states, length_batches
from recsys_finetune.ranking.rank_examples import ExampleWriter, RankExample
from recsys_finetune.ranking.situations import Situation, SituationSampler, preferred_order

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SYNTAX_WEIGHT = 0.1
FREE_WEIGHT = 0.2
POINTER_WEIGHT = 0.3
TINY = 1e-6
CHUNK = 256
ORDER_NOISE = (0.0, 0.0, 0.3)
SEQUENCE_LENGTH = 11


class Form(StrEnum):
    """How much of a prompt there is: item tokens alone; the prompt with them and the request; with texts of items."""

    COMPACT = "compact"
    BARE = "bare"
    WHOLE = "whole"


Blend = Mapping[tuple[RankingMode, Form], float]
"""Shares of the examples; they need not sum to one."""


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """``ids`` (B, L) of item tokens after the beginning; ``chances`` (B, L, items) of the item that comes next."""

    ids: Tensor
    chances: Tensor


@dataclass(frozen=True, slots=True)
class PointedBatch:
    """``choices`` (m,): which choices of the batch are letters; ``items`` (m, K): the items that these stand for;
    ``at`` (m, K): where in the example these stand. Where no candidate is, both are 0."""

    choices: Tensor
    items: Tensor
    at: Tensor


@dataclass(frozen=True, slots=True)
class RankBatch:
    """``ids`` (B, L) padded on the right; ``labels`` (B, L) of the syntax, each at the position before it.

    ``places`` (n,): positions before an item, in the flattened batch; ``tokens`` and ``weights`` (n, K): its chances;
    ``shown`` (n, K) is false where there is no candidate. ``pointed``: which of the n are letters, and what they mean.
    """

    ids: Tensor
    labels: Tensor
    places: Tensor
    tokens: Tensor
    weights: Tensor
    shown: Tensor
    pointed: PointedBatch


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
    """Draws situations and writes them, for a mode and in a form each, as often as ``blend`` says."""

    sampler: SituationSampler
    writer: ExampleWriter
    budgets: tuple[int, ...]
    rng: np.random.Generator

    def drawing(self, blend: Blend) -> Callable[[], RankExample]:
        """A function that draws one example after the other."""
        kinds, shares = list(blend), np.array(list(blend.values()))
        return lambda: self.example(*kinds[int(self.rng.choice(len(kinds), p=shares / shares.sum()))])

    def example(self, mode: RankingMode, form: Form) -> RankExample:
        """One example. ItemTokens has no texts, so that its bare and whole prompts differ in their budgets alone."""
        situation, order = self._draw(request=form is not Form.COMPACT)
        budget, texts = self._budget(form), form is Form.WHOLE
        match mode, form:
            case RankingMode.ITEM_TOKENS, _:
                return self.writer.write_item(situation, budget)
            case RankingMode.VERBALIZER, Form.COMPACT:
                return self.writer.write_compact_letter(situation, self._seed())
            case RankingMode.VERBALIZER, _:
                return self.writer.write_letter(situation, budget, self._seed(), with_texts=texts)
            case _, Form.COMPACT:
                return self.writer.write_compact(situation, order)
            case _:
                return self.writer.write(situation, order, budget, with_texts=texts)

    def _budget(self, form: Form) -> int:
        return int(self.rng.choice(self.budgets)) if form is Form.WHOLE else max(self.budgets)

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
    return RankBatch(
        ids=torch.from_numpy(ids),
        labels=torch.from_numpy(labels),
        places=torch.from_numpy(places),
        tokens=torch.from_numpy(tokens),
        weights=torch.from_numpy(weights),
        shown=torch.from_numpy(shown),
        pointed=_pointed(examples, widest),
    )


def _pointed(examples: Sequence[RankExample], widest: int) -> PointedBatch:
    of_choices = [example.pointed for example in examples for _ in example.choices]
    letters = [(number, pointed) for number, pointed in enumerate(of_choices) if pointed is not None]
    items, at = (np.zeros((len(letters), widest), dtype=np.int64) for _ in range(2))
    for row, (_, pointed) in enumerate(letters):
        items[row, : len(pointed.items)] = pointed.items
        at[row, : len(pointed.places)] = pointed.places
    choices = np.array([number for number, _ in letters], dtype=np.int64)
    return PointedBatch(*map(torch.from_numpy, (choices, items, at)))


def rank_loss(model: LlamaForCausalLM, batch: RankBatch, dropout: float) -> Tensor:
    """Cross-entropy of the chances at each place of the list, and a little of the syntax; and how a letter is found.

    Mostly over the candidates alone, said ones included: that is the choice that a schema leaves when the model is
    served. A part over the whole vocabulary teaches it to name candidates where nothing holds it to them.
    """
    states = all_hidden_states(model, batch.ids, dropout)
    said = states[-1].flatten(0, 1)
    logits = model.lm_head(said[batch.places]).float()
    choice = chances_loss(logits.gather(1, batch.tokens), batch.weights, batch.shown)
    free = -(batch.weights * functional.log_softmax(logits, dim=-1).gather(1, batch.tokens)).sum(dim=-1).mean()
    labels = batch.labels.flatten()
    scored = labels != IGNORED
    of_syntax = functional.cross_entropy(model.lm_head(said[scored]).float(), labels[scored])
    loss = choice + FREE_WEIGHT * free + SYNTAX_WEIGHT * of_syntax
    if len(batch.pointed.choices):
        loss = loss + POINTER_WEIGHT * sum(pointer_losses(model, batch, states))
    return loss


def chances_loss(logits: Tensor, weights: Tensor, shown: Tensor) -> Tensor:
    """Cross-entropy of ``weights`` (n, K) and the softmax of ``logits`` (n, K) over what is ``shown``."""
    chosen = functional.log_softmax(logits.masked_fill(~shown, -torch.inf), dim=-1).masked_fill(~shown, 0.0)
    return -(weights * chosen).sum(dim=-1).mean()


def pointer_losses(model: LlamaForCausalLM, batch: RankBatch, states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The steps to a letter (``pointer_layer``), each for itself.

    1. after the first layer a candidate's place tells the letter before it;
    2. what the last layer reads would name the item;
    3. the first head of the last layer looks at that item.
    """
    pointed = batch.pointed
    shown, weights = batch.shown[pointed.choices], batch.weights[pointed.choices]
    letters = batch.tokens[pointed.choices]
    rows = batch.places[pointed.choices] // batch.ids.shape[1]
    embeddings, norm = model.get_input_embeddings().weight, model.model.norm
    once = torch.from_numpy(np.unique(rows.numpy(), return_index=True)[1])
    known, own = torch.unique(letters[once][shown[once]], return_inverse=True)
    at_items = norm(states[1][rows[once, None], pointed.at[once]][shown[once]])
    told = functional.cross_entropy((at_items @ embeddings[known].T).float(), own)
    asking = norm(states[-2].flatten(0, 1)[batch.places[pointed.choices]])
    named = torch.einsum("nd,nkd->nk", asking, embeddings[pointed.items])
    looked = looked_at(model, states[-2], rows, batch.places[pointed.choices] % batch.ids.shape[1])
    found = -(weights * torch.log(looked.gather(1, pointed.at) + TINY)).sum(dim=-1).mean()
    return told, chances_loss(named.float(), weights, shown), found


def looked_at(model: LlamaForCausalLM, read: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """(n, L): how the first head of the last layer divides its attention, asked at ``places`` of ``rows``."""
    layer, length = model.model.layers[-1], read.shape[1]
    width = model.config.hidden_size // model.config.num_attention_heads
    used, which = torch.unique(rows, return_inverse=True)
    normed = layer.input_layernorm(read[used])
    queries, keys = (
        functional.linear(normed, projection.weight[:width])[:, None]
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj)
    )
    turns = model.model.rotary_emb(normed, torch.arange(length)[None])
    queries, keys = _rotated(queries, turns), _rotated(keys, turns)
    scores = torch.einsum("nd,nld->nl", queries[which, 0, places], keys[which, 0]) / width**0.5
    later = torch.arange(length)[None] > places[:, None]
    return functional.softmax(scores.masked_fill(later, -torch.inf).float(), dim=-1)


def _rotated(states: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """As the network's own rotary embedding does it."""
    cosine, sine = (each[:, None] for each in turns)
    one, other = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-other, one], dim=-1) * sine
