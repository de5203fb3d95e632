"""What each engine can do, as far as the gateway relies on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogProbabilities:
    """How many alternatives of a token an engine tells, with their log-probabilities, in an answer on the chat route.

    ``at_most``: as it is started without a flag; None: as many as are asked for. ``flag`` raises the bound; empty where
    nothing does.
    """

    at_most: int | None
    flag: str = ""

    def __str__(self) -> str:
        if self.at_most is None:
            return "as many as are asked for"
        return f"{self.at_most}, more by `{self.flag}`" if self.flag else str(self.at_most)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One engine's row of the table (docs/reference/engines.md).

    ``structured_output``: how it takes a JSON schema on the chat route. ``adapters``: how one is asked for.
    ``slots_flag``: what sets how many sequences run at once. ``overload``: what it says when it is too busy.
    """

    structured_output: str
    tools: bool
    log_probabilities: LogProbabilities
    adapters: str
    slots_flag: str
    overload: str
