"""The training loop: AdamW, warm-up and cosine, bounded by steps or by time, and batches of like length."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn import functional

from recsys_finetune.language_model.tokenizer import Example

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

B = TypeVar("B")

IGNORED = -100
WARMUP = 0.05
FLOOR = 0.05
BUCKET = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. The run ends at ``steps`` or after ``seconds``, whichever comes first."""

    steps: int
    rate: float
    seconds: float | None = None
    weight_decay: float = 0.05
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to. ``loss`` is a running mean in nats a token."""

    steps: int
    seconds: float
    loss: float


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """``ids`` (B, L), padded on the right; ``labels`` (B, L): the next token where it earns a loss, else IGNORED."""

    ids: Tensor
    labels: Tensor


def learning_rate(done: float, peak: float) -> float:
    """The rate when the share ``done`` of the run is over: linear warm-up, then cosine down to a floor."""
    if done < WARMUP:
        return peak * max(done, 1e-3) / WARMUP
    angle = math.pi * min(1.0, (done - WARMUP) / (1 - WARMUP))
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(angle)))


def length_batches(lengths: Sequence[int], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    """Indices in batches of at most ``batch_tokens`` after padding; shuffled, but near in length within a batch."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    batches: list[list[int]] = []
    step = max(1, BUCKET * batch_tokens // max(1, max(lengths, default=1)))
    for start in range(0, len(order), step):
        current: list[int] = []
        for index in sorted(order[start : start + step], key=lengths.__getitem__):
            if current and lengths[index] * (len(current) + 1) > batch_tokens:
                batches.append(current)
                current = []
            current.append(index)
        if current:
            batches.append(current)
    rng.shuffle(batches)
    return batches


def completion_batch(examples: Sequence[Example], padding: int) -> TokenBatch:
    """Examples as one padded batch whose labels are the completions' tokens, each at the position before it."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), padding, dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        start = max(1, example.prompt_length)
        labels[row, start - 1 : len(example.ids) - 1] = torch.tensor(example.ids[start:])
    return TokenBatch(ids, labels)


def completion_batches(
    examples: Sequence[Example], padding: int, batch_tokens: int, rng: random.Random
) -> Iterator[TokenBatch]:
    """Epoch after epoch of ``examples``, without end."""
    while True:
        for indices in length_batches([len(example.ids) for example in examples], batch_tokens, rng):
            yield completion_batch([examples[index] for index in indices], padding)


def hidden_states(model: LlamaForCausalLM, ids: Tensor, dropout: float = 0.0) -> Tensor:
    """Last hidden states (B, L, d). Padding on the right needs no mask: attention is causal."""
    return all_hidden_states(model, ids, dropout)[-1]


def all_hidden_states(model: LlamaForCausalLM, ids: Tensor, dropout: float = 0.0) -> tuple[Tensor, ...]:
    """What each layer reads, and what the last one says after the last norm: (B, L, d) each."""
    embedded = functional.dropout(model.get_input_embeddings()(ids), dropout, training=model.training)
    states: tuple[Tensor, ...] = model.model(
        inputs_embeds=embedded, use_cache=False, output_hidden_states=True
    ).hidden_states
    return states


def completion_loss(model: LlamaForCausalLM, batch: TokenBatch, dropout: float = 0.0) -> Tensor:
    """Mean cross-entropy of the labels; the vocabulary is only scored where there is one."""
    scored = batch.labels != IGNORED
    logits = model.lm_head(hidden_states(model, batch.ids, dropout)[scored])
    return functional.cross_entropy(logits.float(), batch.labels[scored])


def train(
    model: LlamaForCausalLM,
    batches: Iterable[B],
    loss: Callable[[LlamaForCausalLM, B], Tensor],
    schedule: Schedule,
    *,
    clock: Callable[[], float],
    console: Console,
    title: str,
) -> Trained:
    """Train in place. ``batches`` must not end before the schedule does; ``clock`` gives seconds."""
    optimizer = _optimizer(model, schedule)
    started = clock()
    model.train()
    step, mean = 0, math.nan
    with _progress(console) as progress:
        task = progress.add_task(title, total=1.0, loss="")
        for batch in batches:
            done = _done(step, clock() - started, schedule)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(done, schedule.rate)
            value = loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
            optimizer.step()
            step += 1
            mean = value.item() if step == 1 else mean + 0.02 * (value.item() - mean)
            progress.update(task, completed=done, loss=f"loss {mean:.3f} · step {step}")
        progress.update(task, completed=1.0)
    model.eval()
    return Trained(step, clock() - started, mean)


def _done(step: int, seconds: float, schedule: Schedule) -> float:
    by_time = seconds / schedule.seconds if schedule.seconds is not None else 0.0
    return max(step / schedule.steps, by_time)


def _optimizer(model: LlamaForCausalLM, schedule: Schedule) -> torch.optim.AdamW:
    """Weight decay on matrices alone: it would pull the gains of the norms to zero."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<17}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
