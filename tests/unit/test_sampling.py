"""Lists drawn from a distribution over items: Gumbel-top-k."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.recommend.sampling import draw_list, log_normalised
from recsys_gateway.recommend.stages import Sampling

LOGS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(-30, 0), min_size=1, max_size=12)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 5),
    top_k=st.none() | st.integers(1, 15),
    top_p=st.none() | st.floats(0.01, 1),
    seed=st.integers(0, 2**31 - 1),
)


def ids(logs: dict[str, float], size: int, **sampling: float) -> list[str]:
    return [each.item_id for each in draw_list(logs, size, Sampling(**sampling))]


@given(LOGS, st.integers(0, 15), SAMPLINGS)
def test_a_list_has_no_doubles_and_nothing_but_items(logs: dict[str, float], size: int, sampling: Sampling) -> None:
    drawn = [each.item_id for each in draw_list(logs, size, sampling)]
    assert len(drawn) == len(set(drawn)) <= min(size, len(logs), sampling.top_k or len(logs))
    assert set(drawn) <= logs.keys()
    if sampling.top_k is None and sampling.top_p is None:
        assert len(drawn) == min(size, len(logs))


@given(LOGS, st.integers(1, 12), SAMPLINGS, st.randoms())
def test_the_seed_alone_decides(logs: dict[str, float], size: int, sampling: Sampling, random: object) -> None:
    shuffled = list(logs.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    assert draw_list(dict(shuffled), size, sampling) == draw_list(logs, size, sampling)


@given(LOGS, st.integers(1, 12), st.sampled_from([None, 0.0]))
def test_temperature_0_is_the_order_of_probability(
    logs: dict[str, float], size: int, temperature: float | None
) -> None:
    drawn = draw_list(logs, size, Sampling(temperature))
    assert [each.item_id for each in drawn] == sorted(logs, key=lambda each: (-logs[each], each))[:size]
    assert all(one.score >= other.score for one, other in pairwise(drawn))


@given(LOGS)
def test_scores_are_the_probabilities(logs: dict[str, float]) -> None:
    drawn = draw_list(logs, len(logs), Sampling(2.0))
    assert math.fsum(each.score for each in drawn) == pytest.approx(1)
    assert math.fsum(map(math.exp, log_normalised(logs).values())) == pytest.approx(1)


CHANCES = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.05}
DRAWS = 20_000


@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
def test_lists_come_as_often_as_sampling_without_replacement_says(temperature: float) -> None:
    """Pairs: the first by its chance, the second by its share of what is left. Bounds of five standard deviations."""
    tempered = {item: chance ** (1 / temperature) for item, chance in CHANCES.items()}
    total = sum(tempered.values())
    chances = {item: each / total for item, each in tempered.items()}
    logs = {item: math.log(chance) for item, chance in CHANCES.items()}
    drawn = Counter(tuple(ids(logs, 2, temperature=temperature, seed=seed)) for seed in range(DRAWS))
    for first, second in permutations(CHANCES, 2):
        expected = chances[first] * chances[second] / (1 - chances[first])
        deviation = math.sqrt(expected * (1 - expected) / DRAWS)
        assert drawn[first, second] / DRAWS == pytest.approx(expected, abs=5 * deviation)


def test_top_k_and_top_p_leave_the_head_of_the_distribution() -> None:
    logs = {item: math.log(chance) for item, chance in CHANCES.items()}
    seeds = range(200)
    assert {item for seed in seeds for item in ids(logs, 4, temperature=1.0, seed=seed, top_k=2)} == {"a", "b"}
    assert {item for seed in seeds for item in ids(logs, 4, temperature=1.0, seed=seed, top_p=0.79)} == {"a", "b"}
    assert {item for seed in seeds for item in ids(logs, 4, temperature=1.0, seed=seed, top_p=0.85)} == {"a", "b", "c"}
    assert ids(logs, 4, top_p=0.1) == ["a"]
    assert len(ids(logs, 4, temperature=1.0, top_p=1.0)) == 4


def test_top_p_acts_on_the_tempered_distribution() -> None:
    logs = {item: math.log(chance) for item, chance in CHANCES.items()}
    assert len(ids(logs, 4, temperature=0.3, top_p=0.8)) == 1
    assert len(ids(logs, 4, temperature=5.0, top_p=0.85)) == 4
