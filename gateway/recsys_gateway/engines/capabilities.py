"""What each engine can do, as far as the gateway relies on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One engine's row of the table (docs/reference/engines.md).

    ``structured_output``: how it takes a JSON schema on the chat route. ``log_probabilities``: alternatives a token at
    most, 0 for none. ``adapters``: how one is asked for. ``slots_flag``: what sets how many sequences run at once.
    ``overload``: what it says when it is too busy.
    """

    structured_output: str
    tools: bool
    log_probabilities: int
    adapters: str
    slots_flag: str
    overload: str
