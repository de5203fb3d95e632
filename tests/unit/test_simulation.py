"""What the balancer's own objects do in the simulator: each bound on a few seeds, the same ones each time.

All seeds, with confidence intervals: ``python -m simulation.figure`` (docs/design/serving.md).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import fmean, median

import pytest
from recsys_gateway.config import Admission, Balancing
from simulation import scenarios
from simulation.contenders import BASELINES, LEAST_REQUEST, OURS, POWER_OF_TWO, Contender
from simulation.day import live
from simulation.measures import Result, estimate, judge, ratio
from simulation.oracle import foresee
from simulation.scenarios import Made
from simulation.world import simulate

SEEDS = range(5)


@cache
def runs(made: Made, contender: Contender) -> tuple[Result, ...]:
    return tuple(run(made, contender, seed) for seed in SEEDS)


def run(made: Made, contender: Contender, seed: int, **more: object) -> Result:
    scenario = made(seed, **more) if more else made(seed)
    records = simulate(scenario, contender.balancing, contender.admission, seed)
    return judge(records, scenario.speeds, scenario.seconds)


def test_uneven_pods_are_balanced_better_than_by_counting_calls() -> None:
    ours, theirs = runs(scenarios.uneven, OURS), runs(scenarios.uneven, LEAST_REQUEST)
    assert ratio([r.p99 for r in ours], [r.p99 for r in theirs]).value <= 0.78
    assert ratio([r.mean for r in ours], [r.mean for r in theirs]).value <= 0.89


def test_even_pods_are_balanced_as_well_as_by_the_best_baseline() -> None:
    ours = runs(scenarios.even, OURS)
    for part in ("p99", "mean"):
        best = min(fmean(getattr(r, part) for r in runs(scenarios.even, each)) for each in BASELINES)
        assert fmean(getattr(r, part) for r in ours) <= 1.1 * best


def test_foresight_has_the_shorter_tail() -> None:
    """The oracle puts each call where it ends first: its mean is not the best there is, its tail is."""
    for seed in SEEDS:
        scenario = scenarios.uneven(seed)
        bound = judge(foresee(scenario.speeds, scenario.arrivals), scenario.speeds, scenario.seconds)
        assert bound.p99 < run(scenarios.uneven, OURS, seed).p99


@pytest.mark.parametrize(("made", "share"), [(scenarios.even_overload, 0.95), (scenarios.uneven_overload, 0.89)])
def test_under_overload_the_pods_work_for_answers_that_come_in_time(made: Made, share: float) -> None:
    """Answers that end after the arrivals do count too: the trace's end is no event of the gateway's."""
    goodput = []
    for seed in SEEDS:
        scenario = made(seed)
        records = simulate(scenario, OURS.balancing, OURS.admission, seed)
        goodput.append(judge(records, scenario.speeds, scenario.seconds).goodput)
    assert median(goodput) >= share - 0.02


def test_a_pod_that_slows_down_is_found_out() -> None:
    """The tail is hardly longer than that of the same calls without the trouble."""
    quiet = fmean(judge_quiet(seed) for seed in SEEDS)
    assert fmean(r.p99 for r in runs(scenarios.slowdown, OURS)) <= 1.15 * quiet
    assert fmean(r.p99 for r in runs(scenarios.slowdown, LEAST_REQUEST)) >= 1.3 * quiet


def judge_quiet(seed: int) -> float:
    scenario = replace(scenarios.slowdown(seed), events=())
    return judge(simulate(scenario, OURS.balancing, OURS.admission, seed), scenario.speeds, scenario.seconds).p99


def test_a_pod_that_dies_fails_nobody() -> None:
    assert [r.failed for r in runs(scenarios.death, OURS)] == [0] * len(SEEDS)


def test_a_pod_that_freezes_fails_hardly_anybody() -> None:
    assert max(r.failed for r in runs(scenarios.freeze, OURS)) <= 4


def test_an_outage_of_the_scrapes_is_no_outage() -> None:
    for result in runs(scenarios.no_scrapes, OURS):
        assert result.failed == 0
    assert fmean(r.p99 for r in runs(scenarios.no_scrapes, OURS)) < 1.25 * fmean(
        r.p99 for r in runs(scenarios.uneven, OURS)
    )


def test_four_gateways_that_see_little_are_no_worse_than_power_of_two_on_own_counts() -> None:
    view = {"scrape_seconds": 5.0, "gateways": 4}
    ours = [run(scenarios.uneven, OURS, seed, **view) for seed in SEEDS]
    theirs = [run(scenarios.uneven, POWER_OF_TWO, seed, **view) for seed in SEEDS]
    assert ratio([r.p99 for r in ours], [r.p99 for r in theirs]).low <= 1
    assert ratio([r.mean for r in ours], [r.mean for r in theirs]).low <= 1


@pytest.mark.parametrize("gateways", [2, 4, 8])
def test_more_gateways_do_not_collapse(gateways: int) -> None:
    alone = estimate([r.p99 for r in runs(scenarios.uneven, OURS)]).value
    results = [run(scenarios.uneven, OURS, seed, gateways=gateways) for seed in SEEDS]
    assert all(r.failed == 0 for r in results)
    assert fmean(r.p99 for r in results) < 1.6 * alone


def test_clients_that_hang_up_leave_nothing_behind() -> None:
    for seed in SEEDS:
        scenario = scenarios.aborts(seed)
        records = simulate(scenario, Balancing(), Admission(), seed)  # asserts that all counters are zero
        assert any(record.left for record in records)
        assert all(record.ok or record.left for record in records)


def test_ten_minutes_of_trouble_end_at_rest() -> None:
    day = live(hours=1 / 6, load=0.6)
    assert day.at_rest
    assert day.answered > 0.85 * day.calls
