"""The default: the pod where the call is expected to end first, or the queue where waiting for a faster one is better.

When to use: always, unless you know better; made for pools of unequal speed. With equal pods it is least-request.

A call that starts on pod ``p`` now is expected to take, in seconds,

    T = max(0, n + 1 - C) / mu + S

with ``n`` calls there, ``C`` slots, ``S`` the time of a call in a slot, ``mu = C / S``. The order of pods is by

    T + BETA * S * n / C + LAMBDA * k / (1 - k)

since engines slow down as their batch and their cache (use ``k``) fill.

A free slot is not always worth taking: on a slow pod the call may end later than it would after a short wait. While
it would run on ``p``, each faster pod ``q`` frees ``mu_q * (T_p - S_q)`` slots that would finish it sooner, and the
more so the larger ``(T_p - S_q) / S_q`` is. The best pod is taken once as many calls wait as ``patience`` times the
sum of both factors' products; else the call waits for one of those slots. (Without the second factor the tail is as
good and the mean worse: simulated, see docs/design/serving.md.)

Degrades: without scrapes to own counts; without completions to the configured weights; several gateways compare two
pods drawn by capacity instead of all, so that they do not run after the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, with_room

BETA = 0.1
LAMBDA = 0.05


class WeightedLeastLoad:
    def __init__(self, patience: float) -> None:
        self._patience = patience

    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        free = with_room(candidates)
        if not free:
            return None
        if len(candidates) == 1:
            return free[0]
        if choice.gateways > 1 and len(free) > 2:
            free = _two_by_capacity(free, random)
        best = min(free, key=lambda candidate: (_score(candidate), random.random()))
        return best if choice.waiting >= self._patience * _better_slots(best, candidates) else None


def expected_seconds(candidate: Candidate) -> float:
    """``T``: until a call that is sent now is answered."""
    excess = max(0.0, candidate.load + 1 - candidate.slots)
    return excess / candidate.calls_per_second + candidate.service_seconds


def _score(candidate: Candidate) -> float:
    use = min(0.99, candidate.pod.kv_use)
    crowd = BETA * candidate.service_seconds * candidate.load / candidate.slots
    return expected_seconds(candidate) + crowd + LAMBDA * use / (1 - use)


def _better_slots(chosen: Candidate, candidates: Sequence[Candidate]) -> float:
    """Slots that become free in time to finish a call sooner than ``chosen`` would, each by how much sooner."""
    seconds = expected_seconds(chosen)
    return sum(
        each.calls_per_second * (seconds - each.service_seconds) ** 2 / each.service_seconds
        for each in candidates
        if each.service_seconds < seconds and each is not chosen
    )


def _two_by_capacity(free: list[Candidate], random: Random) -> list[Candidate]:
    first = random.choices(free, [each.calls_per_second for each in free])[0]
    rest = [each for each in free if each is not first]
    return [first, random.choices(rest, [each.calls_per_second for each in rest])[0]]
