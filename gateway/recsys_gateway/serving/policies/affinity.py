"""The same session or prefix on the same pod, as long as that pod is not much busier than the others.

When to use: engines that keep the key-value cache of a prefix, and long prompts that share one. Rendezvous hashing:
when pods come or go, only their own sessions move. Bounded load (Mirrokni et al. 2018): a pod takes at most
``BOUND`` times the mean use of the pods, then the next one in the key's order is asked. Calls without a key go by
``otherwise``.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, Policy, with_room

BOUND = 1.25


class Affinity:
    def __init__(self, otherwise: Policy) -> None:
        self._otherwise = otherwise

    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        if not choice.affinity:
            return self._otherwise.pick(candidates, choice, random)
        slots = sum(each.slots for each in candidates)
        bound = BOUND * (sum(each.load for each in candidates) + 1) / slots if slots else 0.0
        free = with_room(candidates)
        ranked = sorted(free, key=lambda each: _draw(choice.affinity, each.pod.spec.url), reverse=True)
        within = (each for each in ranked if (each.load + 1) / each.slots <= max(bound, 1 / each.slots))
        return next(within, ranked[0] if ranked else None)


def _draw(key: str, url: str) -> bytes:
    return blake2b(f"{url}\n{key}".encode(errors="replace"), digest_size=8).digest()
