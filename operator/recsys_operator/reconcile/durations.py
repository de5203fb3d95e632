"""Durations as the resource writes them: 90s, 30m, 1h30m."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+)(ms|s|m|h)")


def seconds(duration: str) -> float:
    """``duration`` has passed the schema."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
