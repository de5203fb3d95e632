"""Metrics that should be there and are not: said once, loudly, and kept for ``/readyz``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

log = logging.getLogger(__name__)


class MissingSeries:
    """What is missing at the pods of one model. Balancing goes on with this gateway's own counts meanwhile."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._problems: dict[str, str] = {}
        self._suspected: set[str] = set()

    @property
    def problems(self) -> dict[str, str]:
        """By pod: what is missing, or why nothing could be read."""
        return dict(self._problems)

    def note(self, pod: str, missing: Sequence[str]) -> None:
        """What a scrape lacked; nothing: all is there. Once may be the moment of the first request: twice is said."""
        if missing and pod in self._suspected:
            self._say(pod, f"missing: {', '.join(missing)}")
        elif missing:
            self._suspected.add(pod)
        elif self._problems.pop(pod, None):
            log.info("the metrics of a pod are there again", extra={"model": self._model, "pod": pod})
        if not missing:
            self._suspected.discard(pod)

    def unreadable(self, pod: str, why: str) -> None:
        self._say(pod, why)

    def forget(self, pod: str) -> None:
        self._problems.pop(pod, None)
        self._suspected.discard(pod)

    def _say(self, pod: str, problem: str) -> None:
        if self._problems.get(pod) != problem:
            log.error(
                "metrics of a pod cannot be used: balancing goes by this gateway's own counts. Was the engine updated, "
                "or is its metrics flag off?",
                extra={"model": self._model, "pod": pod, "problem": problem},
            )
            self._problems[pod] = problem
