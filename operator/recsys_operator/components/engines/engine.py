"""What a pod's engine is told, and what a builder of one engine's container knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from recsys_gateway.config import EngineType
from recsys_gateway.engines.ranking_modes import engine_arguments

from recsys_operator.api.workload import Resources
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.model_files import Format

PORT = 8080
GPUS = ("nvidia.com/gpu", "amd.com/gpu")
DEFAULT_CONTEXT_TOKENS = 4096
"""Of engines that set memory aside for each slot's whole context; the prompts of recommendations fit well."""


@dataclass(frozen=True, slots=True)
class EngineRun:
    """One pod's work. ``name`` is what it is asked for; ``path`` and ``adapters`` (by name) are paths in the pod.

    ``args`` are the resource's own and win over what the builder would say.
    """

    name: str
    path: str
    adapters: Mapping[str, str]
    slots: int | None
    context_tokens: int | None
    batch_tokens: int | None
    gpus: int
    cpus: int | None
    drain_seconds: int
    args: tuple[str, ...] = ()

    @property
    def most_requests(self) -> int | None:
        """Above the slots: the gateway keeps to them, and a call that comes a moment early must wait, not fail.

        Not counted from the gateway's own settings, whose change must not restart the engines.
        """
        return None if self.slots is None else 2 * self.slots + 64


@dataclass(frozen=True, slots=True)
class Health:
    """Where an engine says that it lives, and what it may take to say so while it is busy.

    ``started`` is a command that succeeds once the model is loaded, where the path below cannot tell.
    """

    path: str = "/health"
    timeout_seconds: int = 10
    started: tuple[str, ...] = ()


class Engine(Protocol):
    """One engine. ``drains``: after SIGTERM it finishes its calls by itself. ``restricted``: the image is our own."""

    format: Format
    health: Health
    drains: bool
    restricted: bool

    def image(self, run: EngineRun) -> str: ...

    def container(self, run: EngineRun) -> Manifest:
        """``command``, ``args``, ``env`` and, where it needs some, ``volumeMounts``."""
        ...

    def init_containers(self, run: EngineRun) -> list[Manifest]:
        """What must run before it once the files are there."""
        ...

    def volumes(self) -> list[Manifest]: ...


@dataclass(frozen=True, slots=True)
class Flag:
    """An option of a command line: its names, the first of which is written, and its values."""

    names: tuple[str, ...]
    values: tuple[str, ...] = ()


def flag(names: str, *values: object) -> Flag:
    """``names`` are separated by a space: the one to write, then others that mean the same."""
    return Flag(tuple(names.split()), tuple(str(value) for value in values))


def given(names: str, value: object | None) -> list[Flag]:
    """The flag, or nothing where there is no value."""
    return [] if value is None else [flag(names, value)]


def scores(engine: EngineType) -> list[Flag]:
    """What lets a request choose any ranking mode: the scores of candidates are alternatives of one token."""
    said = engine_arguments(engine)
    return [flag(*said)] if said else []


def arguments(flags: list[Flag], own: tuple[str, ...]) -> list[str]:
    """``flags``, without those that ``own`` sets, then ``own``: many parsers refuse an option that comes twice."""
    said = {argument.partition("=")[0] for argument in own}
    kept = [each for each in flags if not said.intersection(each.names)]
    return [part for each in kept for part in (each.names[0], *each.values)] + list(own)


def variables(**values: object) -> list[Manifest]:
    return [{"name": name, "value": str(value)} for name, value in values.items()]


OFFLINE: tuple[Manifest, ...] = tuple(
    variables(HF_HUB_OFFLINE=1, TRANSFORMERS_OFFLINE=1, HF_HUB_DISABLE_TELEMETRY=1, HF_HOME="/tmp/huggingface")  # noqa: S108 in a pod
)
"""For engines in Python: everything is on the volume, and nothing is told to anybody."""


def gpus(resources: Resources) -> int:
    """Devices of one pod: what an engine spreads its model over."""
    return sum(whole(resources.limits[name]) or 0 for name in GPUS if name in resources.limits)


def whole(quantity: str | int) -> int | None:
    """A quantity of cores or devices, rounded up; None for what is none (such as memory)."""
    text = str(quantity)
    try:
        return math.ceil(int(text[:-1]) / 1000) if text.endswith("m") else math.ceil(float(text))
    except ValueError:
        return None
