"""Ways of choosing a pod: each takes one with room, and does what its name says."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.config import Balancing, PolicyName, Track
from recsys_gateway.serving.balancing.canary import track_of
from recsys_gateway.serving.balancing.pod import PodSpec, PodState
from recsys_gateway.serving.balancing.speed import Baselines
from recsys_gateway.serving.policies.policy import Candidate, Choice
from recsys_gateway.serving.policies.registry import policy_of

CHOICE = Choice(waiting=1, affinity="", gateways=1)


def candidate(
    name: str, *, load: float = 0, slots: float = 8, seconds: float = 1, room: bool = True, weight: float = 1
):
    pod = PodState(PodSpec(f"http://{name}", "a", weight, int(slots)), Baselines.fresh(), 0.0, new=False)
    pod.in_flight = int(load)
    return Candidate(pod, load, slots, seconds, room)


def picked(policy: PolicyName, pods: list[Candidate], choice: Choice = CHOICE, seed: int = 0) -> str | None:
    chosen = policy_of(Balancing(policy=policy)).pick(pods, choice, Random(seed))
    return chosen.pod.spec.url.removeprefix("http://") if chosen else None


PODS = st.lists(
    st.builds(
        candidate,
        st.uuids().map(str),
        load=st.integers(0, 20),
        slots=st.integers(1, 16),
        seconds=st.floats(0.01, 10),
        room=st.booleans(),
        weight=st.floats(0.1, 10),
    ),
    max_size=6,
)


@given(PODS, st.sampled_from(PolicyName), st.integers(1, 50), st.sampled_from(["", "session"]), st.integers(1, 4))
def test_only_pods_with_room_are_chosen(
    pods: list[Candidate], name: PolicyName, waiting: int, affinity: str, gateways: int
) -> None:
    chosen = policy_of(Balancing(policy=name)).pick(pods, Choice(waiting, affinity, gateways), Random(1))
    assert chosen is None or (chosen in pods and chosen.room)
    if name not in {PolicyName.WEIGHTED_LEAST_LOAD, PolicyName.AFFINITY}:
        assert (chosen is None) == (not any(pod.room for pod in pods))


@given(PODS)
def test_the_default_takes_a_pod_once_enough_calls_wait(pods: list[Candidate]) -> None:
    """Waiting for a faster pod has an end: the more calls wait, the less a free slot is refused."""
    chosen = policy_of(Balancing()).pick(pods, Choice(10**9, "", 1), Random(1))
    assert (chosen is None) == (not any(pod.room for pod in pods))


def test_round_robin_goes_round() -> None:
    policy, pods = policy_of(Balancing(policy=PolicyName.ROUND_ROBIN)), [candidate(name) for name in "abc"]
    assert [policy.pick(pods, CHOICE, Random(0)) for _ in range(6)] == pods * 2


def test_smooth_weighted_round_robin_keeps_proportions_and_spreads_them() -> None:
    policy = policy_of(Balancing(policy=PolicyName.SMOOTH_WEIGHTED_ROUND_ROBIN))
    pods = [candidate("a", weight=5), candidate("b"), candidate("c")]
    names = [chosen.pod.spec.url[-1] for _ in range(7) if (chosen := policy.pick(pods, CHOICE, Random(0)))]
    assert "".join(names) == "aabacaa"  # the order of nginx for 5, 1, 1


def test_least_request_and_power_of_two_prefer_the_idle_pod() -> None:
    pods = [candidate("busy", load=5), candidate("idle")]
    assert picked(PolicyName.LEAST_REQUEST, pods) == "idle"
    assert picked(PolicyName.POWER_OF_TWO, pods) == "idle"


def test_the_default_prefers_the_pod_where_the_call_ends_first() -> None:
    assert picked(PolicyName.WEIGHTED_LEAST_LOAD, [candidate("slow", seconds=4), candidate("fast", load=7)]) == "fast"


def test_the_default_waits_for_a_fast_pod_rather_than_take_a_very_slow_one() -> None:
    fast, slow = candidate("fast", load=8, room=False), candidate("slow", seconds=20)
    assert picked(PolicyName.WEIGHTED_LEAST_LOAD, [fast, slow]) is None
    assert picked(PolicyName.WEIGHTED_LEAST_LOAD, [fast, slow], Choice(5000, "", 1)) == "slow"


@given(st.text(min_size=1, max_size=20))
def test_a_session_stays_where_it_is_when_another_pod_leaves(session: str) -> None:
    choice, pods = Choice(1, session, 1), [candidate(name) for name in "abcd"]
    home = picked(PolicyName.AFFINITY, pods, choice)
    for gone in pods:
        if not gone.pod.spec.url.endswith(str(home)):
            rest = [pod for pod in pods if pod is not gone]
            assert picked(PolicyName.AFFINITY, rest, choice) == home


def test_a_session_leaves_a_pod_that_is_much_busier_than_the_others() -> None:
    choice = Choice(1, "session", 1)
    home = picked(PolicyName.AFFINITY, [candidate(name) for name in "abcd"], choice)
    pods = [candidate(name, load=7 if name == home else 0) for name in "abcd"]
    assert picked(PolicyName.AFFINITY, pods, choice) != home


@pytest.mark.parametrize("percent", [0, 10, 50, 100])
def test_the_canary_gets_its_percentage_and_keeps_its_keys_when_it_grows(percent: float) -> None:
    tracks = Counter(track_of(f"user-{n}", percent) for n in range(4000))
    assert tracks[Track.CANARY] / 4000 == pytest.approx(percent / 100, abs=0.03)
    for n in range(200):
        if track_of(f"user-{n}", percent) is Track.CANARY:
            assert track_of(f"user-{n}", min(100, percent + 20)) is Track.CANARY
