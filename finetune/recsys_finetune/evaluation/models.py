"""What ``--model`` may name, made to answer: baselines, a tuned model's folder, a running gateway."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from recsys_gateway.config import RankingMode

from recsys_finetune.evaluation.baselines import MarkovChain, Popularity
from recsys_finetune.evaluation.candidates import CollaborativeCandidates
from recsys_finetune.evaluation.datasets import Dataset
from recsys_finetune.evaluation.protocol import Case, training_histories
from recsys_finetune.evaluation.running_gateway import ask_gateway
from recsys_finetune.evaluation.summary import DEPTH
from recsys_finetune.evaluation.tuned_model import Answers, TunedModel
from recsys_finetune.language_model.engine import running_engine

SAMPLE = "sample"
MODEL_FILE = "model.gguf"
GGUF_MAGIC = b"GGUF"
SLOTS = 4
SMALL_BYTES = 50_000_000
"""A smaller model is run by one thread: several would wait for each other longer than they work."""

Advance = Callable[[], None]


class UnknownModelError(ValueError):
    """What ``--model`` names is no model; the message says what it may name."""


class Ranker(Protocol):
    def rank(self, history: Sequence[str], limit: int) -> list[str]:
        """At most ``limit`` items that are not in ``history``, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model that can be asked. ``note`` says what it is where its name does not, ``mode`` how a tuned one ranks."""

    name: str
    answer: Callable[[Sequence[Case], Advance], Answers]
    note: str = ""
    mode: RankingMode | None = None


BASELINES: dict[str, Callable[[Dataset], Ranker]] = {
    "popularity": lambda data: Popularity.fit(training_histories(data.histories), data.catalogue),
    "markov": lambda data: MarkovChain.choose(data.histories, data.catalogue),
    "retrieval": lambda data: _candidates(data),
}


def find_models(name: str, data: Dataset, sample: Path, modes: Sequence[RankingMode]) -> list[Evaluated]:
    """The model that ``name`` means, once for each of ``modes`` where it is one that ranks in several ways.

    Raises:
        UnknownModelError, OSError: as ``find_model``.
    """
    if name in BASELINES or not modes:
        return [find_model(name, data, sample)]
    return [find_model(name, data, sample, mode) for mode in modes]


def find_model(name: str, data: Dataset, sample: Path, mode: RankingMode | None = None) -> Evaluated:
    """The model that ``name`` means: a baseline, ``sample``, the URL of a gateway, a folder or file of a tuned model.

    ``sample`` is the file of the sample tuned model. ``mode`` is how a tuned one ranks; None: by ToolCall, and a
    gateway by the mode that it is configured for.

    Raises:
        UnknownModelError: it means none of these.
        OSError: the file cannot be read.
    """
    if name in BASELINES:
        ranker = BASELINES[name](data)
        return Evaluated(name, lambda cases, advance: _rank_all(ranker, cases, advance), _note(ranker))
    if name.startswith(("http://", "https://")):
        return Evaluated(name, partial(ask_gateway, name, mode), "a running gateway", mode)
    path = sample if name == SAMPLE else Path(name)
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        known = ", ".join([*BASELINES, SAMPLE])
        raise UnknownModelError(
            f"--model {name}: {file} is not there; name one of {known}, a folder with {MODEL_FILE}, or a gateway's URL"
        )
    with file.open("rb") as opened:
        if opened.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise UnknownModelError(f"--model {name}: {file} is no GGUF file, which a tuned model is")
    note = "the sample tuned model of recsys" if name == SAMPLE else ""
    return Evaluated(name, partial(_run_tuned, file, data, mode or RankingMode.TOOL_CALL), note, mode)


def _candidates(data: Dataset) -> CollaborativeCandidates:
    sold_out = [item for item in data.catalogue if not data.items[item].in_stock]
    return CollaborativeCandidates.fit(training_histories(data.histories), data.catalogue, sold_out)


def _note(ranker: Ranker) -> str:
    match ranker:
        case MarkovChain(settings=chosen):
            return f"chosen on validation: reach {chosen.reach}, decay {chosen.decay}, damping {chosen.damping}"
        case CollaborativeCandidates():
            return "the candidates that a tuned model is shown, as they are"
        case _:
            return ""


def _rank_all(ranker: Ranker, cases: Sequence[Case], advance: Advance) -> Answers:
    lists = []
    for case in cases:
        lists.append(ranker.rank(case.history, DEPTH))
        advance()
    return Answers(lists, failed=0)


def _run_tuned(file: Path, data: Dataset, mode: RankingMode, cases: Sequence[Case], advance: Advance) -> Answers:
    threads = 1 if file.stat().st_size < SMALL_BYTES else os.cpu_count() or 1
    with running_engine(file, slots=SLOTS, threads=threads) as url:
        return TunedModel(url, SLOTS, data.items, data.users, _candidates(data), mode).answer(cases, advance)
