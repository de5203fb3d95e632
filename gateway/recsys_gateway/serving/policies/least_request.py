"""The pod with the fewest calls of this gateway, ties at random. When to use: equal pods, calls of unlike length."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, with_room


class LeastRequest:
    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        return min(with_room(candidates), key=lambda each: (each.pod.in_flight, random.random()), default=None)
