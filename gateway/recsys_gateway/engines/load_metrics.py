"""What an engine says of its load."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One scrape: calls queued and running, share of the key-value cache in use, decode steps since the start."""

    queued: float
    running: float
    kv_use: float | None = None
    steps: float | None = None
