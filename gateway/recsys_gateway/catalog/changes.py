"""What a change to the catalogue did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did. ``counts`` is by how much the events of each item grew."""

    created: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
