"""Who is compared: the gateway as it is configured by default, and its own policies without late binding."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_gateway.config import Admission, Balancing, PolicyName

BOTTOMLESS = 1_000_000
"""Calls that a pod may queue where a policy binds at once, as other routers do."""


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    balancing: Balancing
    admission: Admission


def _eager(name: str, policy: PolicyName) -> Contender:
    return Contender(name, Balancing(policy=policy), Admission(maxQueueDepth=BOTTOMLESS))


OURS = Contender("WeightedLeastLoad", Balancing(), Admission())
ROUND_ROBIN = _eager("round robin", PolicyName.ROUND_ROBIN)
WEIGHTED_ROUND_ROBIN = _eager("smooth weighted round robin", PolicyName.SMOOTH_WEIGHTED_ROUND_ROBIN)
LEAST_REQUEST = _eager("least request", PolicyName.LEAST_REQUEST)
POWER_OF_TWO = _eager("power of two", PolicyName.POWER_OF_TWO)

BASELINES = (ROUND_ROBIN, WEIGHTED_ROUND_ROBIN, LEAST_REQUEST, POWER_OF_TWO)
