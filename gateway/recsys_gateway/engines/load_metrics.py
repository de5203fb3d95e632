"""What an engine says of its load: which series, and how they are read out of its ``/metrics`` or out of Prometheus."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Series = tuple[str, Mapping[str, str], float]
"""Name, labels and value of one line."""

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+([^ \t]+)(?:[ \t]+-?[0-9]+)?[ \t]*", re.ASCII)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', re.ASCII)


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One scrape: calls queued and running, share of the key-value cache in use, decode steps since the start."""

    queued: float
    running: float
    kv_use: float | None = None
    steps: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample, and the series that the engine should have shown and did not."""

    sample: LoadSample
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadMetrics:
    """One engine's series; each is a tuple of names, the newest first, of which a version of the engine has one.

    ``kv_share`` is a share already; ``kv_tokens`` are tokens, a share of the pod's budget. ``steps`` counts decode
    steps of the batch, not tokens of its sequences; with ``steps_labels`` only the series that have them.
    ``prefix``: what every series of the engine begins with. Without any of those the engine has not begun to count, as
    TGI before its first request, and everything is zero; with others and without the wanted ones it has renamed them.
    """

    prefix: str
    queued: tuple[str, ...]
    running: tuple[str, ...]
    kv_share: tuple[str, ...] = ()
    kv_tokens: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    steps_labels: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All series that are looked for."""
        return (*self.queued, *self.running, *self.kv_share, *self.kv_tokens, *self.steps)

    def read(self, text: str, token_budget: int | None) -> Reading:
        """The load in an exposition text; lines that are none are skipped.

        ``token_budget``: tokens that fit the pod's cache, for engines that count tokens.
        """
        return self._reading(list(_wanted(text, frozenset(self.names))), token_budget, began=self._began(text))

    def read_series(self, series: Iterable[Series], token_budget: int | None) -> Reading:
        """The same from series that somebody else has parsed, those of one pod."""
        known = list(series)
        return self._reading(known, token_budget, began=bool(known))

    def _began(self, text: str) -> bool:
        return text.startswith(self.prefix) or f"\n{self.prefix}" in text

    def _reading(self, series: list[Series], token_budget: int | None, *, began: bool) -> Reading:
        values: dict[str, list[float]] = {}
        for name, labels, value in series:
            wanted_labels = name not in self.steps or all(labels.get(key) == said for key, said in self.steps_labels)
            if wanted_labels and math.isfinite(value) and value >= 0:
                values.setdefault(name, []).append(value)
        required = (self.queued, self.running) if began else ()
        missing = tuple(names[0] for names in required if not any(name in values for name in names))
        kv_use = _mean(values, self.kv_share)
        if kv_use is None and token_budget and (tokens := _sum(values, self.kv_tokens)) is not None:
            kv_use = tokens / token_budget
        sample = LoadSample(
            queued=_sum(values, self.queued) or 0.0,
            running=_sum(values, self.running) or 0.0,
            kv_use=None if kv_use is None else min(1.0, kv_use),
            steps=_sum(values, self.steps),
        )
        return Reading(sample, missing)


def _wanted(text: str, names: frozenset[str]) -> Iterator[Series]:
    for line in text.split("\n"):
        name = line.partition("{")[0].partition(" ")[0]
        if name not in names or not (parts := _LINE.fullmatch(line.rstrip("\r"))):
            continue
        try:
            value = float(parts[3])
        except ValueError:
            continue
        yield name, dict(_LABEL.findall(parts[2] or "")), value


def _values(values: Mapping[str, list[float]], names: tuple[str, ...]) -> list[float]:
    """Of the first name that is there: versions overlap while a series is being renamed."""
    return next((values[name] for name in names if name in values), [])


def _sum(values: Mapping[str, list[float]], names: tuple[str, ...]) -> float | None:
    """Over the labels: one process may run several engines."""
    found = _values(values, names)
    return min(math.fsum(found), 1e300) if found else None


def _mean(values: Mapping[str, list[float]], names: tuple[str, ...]) -> float | None:
    found = _values(values, names)
    return math.fsum(found) / len(found) if found else None
