"""Pods in turn, in proportion to their weights and evenly spread, as nginx does it.

When to use: pods of known speed and calls of like length. Of each pod's credit, grown by its weight at every choice,
the largest wins and pays the sum of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from recsys_gateway.serving.policies.policy import Candidate, Choice, with_room


class SmoothWeightedRoundRobin:
    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        free = with_room(candidates)
        if not free:
            return None
        known = {candidate.pod.spec.url for candidate in candidates}
        self._credit = {url: credit for url, credit in self._credit.items() if url in known}
        for each in free:
            url = each.pod.spec.url
            self._credit[url] = self._credit.get(url, 0.0) + each.pod.spec.weight
        chosen = max(free, key=lambda each: self._credit[each.pod.spec.url])
        self._credit[chosen.pod.spec.url] -= sum(each.pod.spec.weight for each in free)
        return chosen
