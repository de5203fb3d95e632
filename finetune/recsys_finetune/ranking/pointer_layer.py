"""A last layer that points: what Verbalizer needs, and what a million parameters do not find by themselves.

To answer with a letter a model must (1) know at a candidate's place which letter stands before it, (2) know what it
would name, (3) find the candidate that is most like that, and (4) say the letter found there. Gradients of the answer
alone reach each of these only through the others, and stay near zero. So the layer starts as a pointer: its first head
compares what would be named with the candidates, in the directions in which the teacher tells items apart, and copies
letters; ``pointer_losses`` teaches (1) to (3) each by itself. Everything else of the layer starts at nothing: a model
says the same with it as without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_finetune.language_model.llama import LlamaSize, new_llama, size_of
from recsys_finetune.ranking.rank_examples import ExampleWriter, RankExample
from recsys_finetune.ranking.teacher import Teacher
from recsys_finetune.ranking.warm_start import lift_after_one

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SLOW_PAIRS = 6
"""Of a head's pairs, those that turn by less than one radian over a prompt: what they compare does not depend on how
far away it stands."""
POINTEDNESS = 0.7
"""Scale of the comparison. On lists of the sample shop this fits what is to be learnt best."""
CANDIDATES_FIRST = 6.0
"""By how many nats a candidate's place is preferred to any other place of the prompt."""
VOICE = 3.0
"""How loud a letter that was found is said, beside what else the model would say."""
RIDGE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What the layer would read of examples: ``states`` (n, d) of all places of their prompts; of these ``askers`` are
    the last ones of each; ``rows`` (n,) of the items that are candidates there, -1 elsewhere. ``loudness``: root mean
    square of what the last ones say before the last norm."""

    states: Tensor
    askers: Tensor
    rows: Tensor
    loudness: float


def with_pointer(
    model: LlamaForCausalLM, writer: ExampleWriter, teacher: Teacher, examples: Sequence[RankExample], seed: int
) -> LlamaForCausalLM:
    """``model`` with one layer more; ``examples`` of Verbalizer show what stands at the places of candidates."""
    size = replace(size_of(model), layers=model.config.num_hidden_layers + 1)
    larger = new_llama(writer.tokenizer, size, seed)
    larger.load_state_dict(model.state_dict(), strict=False)
    heard = _hear(larger, writer.token_ids, examples)
    letters = _quiet_directions(heard.states, size.width // size.heads, seed)
    with torch.no_grad():
        embeddings = larger.get_input_embeddings().weight
        _name_letters(embeddings, writer, letters)
        _point(larger, embeddings[torch.from_numpy(writer.token_ids)], heard, _tellings(teacher, size), letters)
    return larger


def _hear(model: LlamaForCausalLM, item_ids: NDArray[np.int64], examples: Sequence[RankExample]) -> Heard:
    row_of = {int(token): row for row, token in enumerate(item_ids)}
    states, askers, rows, loudness = [], [], [], []
    with torch.no_grad():
        for example in examples:
            assert example.pointed is not None  # noqa: S101 - the examples are those of Verbalizer
            ids = torch.tensor([example.ids[: example.prompt_length]])
            raw = model.model(inputs_embeds=model.get_input_embeddings()(ids), output_hidden_states=True)
            read = raw.hidden_states[-2][0]
            of_places = torch.full((ids.shape[1],), -1)
            of_places[torch.from_numpy(example.pointed.places)] = torch.tensor(
                [row_of[int(token)] for token in example.pointed.items]
            )
            states.append(model.model.norm(read))
            askers.append(states[-1][-1])
            rows.append(of_places)
            loudness.append(float(read[-1].square().mean().sqrt()))
    return Heard(torch.cat(states), torch.stack(askers), torch.cat(rows), float(np.mean(loudness)))


def _quiet_directions(states: Tensor, count: int, seed: int) -> Tensor:
    """(count, d), orthonormal: where least is said in prompts."""
    _, vectors = torch.linalg.eigh(states.T @ states)
    quiet = vectors[:, :count].T
    generator = torch.Generator().manual_seed(seed)
    turned, _ = torch.linalg.qr(torch.randn(count, count, generator=generator))
    directions: Tensor = turned @ quiet
    return directions


def _name_letters(embeddings: Tensor, writer: ExampleWriter, quiet: Tensor) -> None:
    """The first letters, as many as there are directions, get vectors of their own there, as long as those of items."""
    length = embeddings[torch.from_numpy(writer.token_ids)].norm(dim=1).mean()
    letters = [mark[0] for mark in writer.letters[: len(quiet)]]
    embeddings[torch.tensor(letters)] = length * quiet[: len(letters)]


def _tellings(teacher: Teacher, size: LlamaSize) -> Tensor:
    """(items, directions): the strongest directions in which items differ by what they follow on."""
    _, _, right = np.linalg.svd(lift_after_one(teacher), full_matrices=False)
    count = min(2 * SLOW_PAIRS, size.width // size.heads) - 1
    return torch.from_numpy(right[:count].T.astype(np.float32))


def _point(model: LlamaForCausalLM, items: Tensor, heard: Heard, tellings: Tensor, letters: Tensor) -> None:
    """The first dimension tells candidates from all else, the others the candidates from each other."""
    layer, attention = model.model.layers[-1], model.model.layers[-1].self_attn
    width = model.config.hidden_size // model.config.num_attention_heads
    layer.input_layernorm.weight.copy_(model.model.norm.weight)
    there = (heard.rows >= 0).float()[:, None]
    keys = torch.cat([there, there * tellings[heard.rows.clamp_min(0)]], dim=1)
    asking = _regression(heard.askers, torch.ones(len(heard.askers), 1))
    queries = torch.cat([CANDIDATES_FIRST * asking, POINTEDNESS * tellings.T @ items])
    places = _slow_places(width, len(queries))
    attention.q_proj.weight[places] = width**0.25 * queries
    attention.k_proj.weight[places] = width**0.25 * _regression(heard.states, keys)
    attention.o_proj.weight.zero_()
    attention.v_proj.weight[: len(letters)] = letters
    attention.o_proj.weight[:, : len(letters)] = VOICE * heard.loudness * letters.T
    layer.mlp.down_proj.weight.zero_()


def _regression(states: Tensor, told: Tensor) -> Tensor:
    """(k, d): rows that read ``told`` (n, k) from ``states`` (n, d), by ridge regression."""
    squares = states.T @ states + RIDGE * torch.eye(states.shape[1])
    rows: Tensor = torch.linalg.solve(squares, states.T @ told).T
    return rows


def _slow_places(width: int, count: int) -> list[int]:
    """Places of the first head's slowest dimensions, the slowest first; a pair's two stand half a head apart."""
    half = width // 2
    pairs = [(half - 1 - number, width - 1 - number) for number in range(half)]
    return [place for pair in pairs for place in pair][:count]
