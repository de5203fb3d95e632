"""Pods in turn. When to use: equal pods and equal calls, or to see what balancing is worth. Ignores load and speed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, with_room


class RoundRobin:
    """The turn goes by address, so that pods may come and go."""

    def __init__(self) -> None:
        self._last = ""

    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        free = sorted(with_room(candidates), key=lambda candidate: candidate.pod.spec.url)
        if not free:
            return None
        chosen = next((each for each in free if each.pod.spec.url > self._last), free[0])
        self._last = chosen.pod.spec.url
        return chosen
