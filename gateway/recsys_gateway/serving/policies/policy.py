"""What a policy is given, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from recsys_gateway.serving.balancing.pod import PodState


@dataclass(slots=True)
class Candidate:
    """A pod that takes calls, with its estimates of this moment.

    ``load``: calls there; ``slots``: how many of them run at once; ``service_seconds``: how long a call takes in a
    slot; ``room``: whether one more may be sent now.
    """

    pod: PodState
    load: float
    slots: float
    service_seconds: float
    room: bool

    @property
    def calls_per_second(self) -> float:
        """What the pod completes when all its slots are busy."""
        return self.slots / self.service_seconds


class Choice(NamedTuple):
    """What a policy may want to know beside the pods.

    ``waiting``: calls in the queue, this one included; ``affinity``: what should stay on one pod (a session, a
    prefix), empty for none; ``gateways``: how many share the pods.
    """

    waiting: int
    affinity: str
    gateways: int


class Policy(Protocol):
    def pick(self, candidates: Sequence[Candidate], choice: Choice, random: Random) -> Candidate | None:
        """One of the candidates with room; None where the call had better wait, as it must where none has room."""
        ...


def with_room(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate.room]
