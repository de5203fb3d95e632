"""Two pods at random, and of them the one with fewer calls of this gateway for its weight.

When to use: many gateways that see little of each other. Nearly as even as comparing all, and no herd runs after one
pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, with_room


class PowerOfTwo:
    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        free = with_room(candidates)
        if len(free) > 2:
            free = random.sample(free, 2)
        return min(free, key=lambda each: (each.pod.in_flight + 1) / each.pod.spec.weight, default=None)
