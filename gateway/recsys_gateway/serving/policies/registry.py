"""Which policy a name of the configuration means."""

from __future__ import annotations

from recsys_gateway.config import Balancing, PolicyName
from recsys_gateway.serving.policies.affinity import Affinity
from recsys_gateway.serving.policies.least_request import LeastRequest
from recsys_gateway.serving.policies.policy import Policy
from recsys_gateway.serving.policies.power_of_two import PowerOfTwo
from recsys_gateway.serving.policies.round_robin import RoundRobin
from recsys_gateway.serving.policies.smooth_weighted_round_robin import SmoothWeightedRoundRobin
from recsys_gateway.serving.policies.weighted_least_load import WeightedLeastLoad


def policy_of(settings: Balancing) -> Policy:
    """A new policy, with the state of its own that it needs."""
    match settings.policy:
        case PolicyName.WEIGHTED_LEAST_LOAD:
            return WeightedLeastLoad(settings.patience)
        case PolicyName.ROUND_ROBIN:
            return RoundRobin()
        case PolicyName.SMOOTH_WEIGHTED_ROUND_ROBIN:
            return SmoothWeightedRoundRobin()
        case PolicyName.LEAST_REQUEST:
            return LeastRequest()
        case PolicyName.POWER_OF_TWO:
            return PowerOfTwo()
        case PolicyName.AFFINITY:
            return Affinity(WeightedLeastLoad(settings.patience))
