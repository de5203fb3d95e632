"""``python -m simulation.figure --out FILE.svg``: the gateway beside its own simpler policies and the oracle.

Each bar is a mean over the seeds with its 95% interval; all contenders meet the same arrivals.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib as mpl

from simulation.contenders import BASELINES, OURS, Contender
from simulation.measures import Estimate, Result, estimate, judge
from simulation.oracle import foresee
from simulation.scenarios import OVERLOADED, WAITING, Named, uneven
from simulation.world import simulate

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "recsys"  # the same picture from the same numbers

ORACLE = "omniscient oracle"
SCRAPES = (0.05, 0.5, 2.0, 5.0, 30.0)
GATEWAYS = (1, 2, 4, 8)
Runs = list[Result]


def _run(job: tuple[Named, Contender | None, int]) -> Result:
    named, contender, seed = job
    scenario = named.of_seed(seed)
    if contender is None:
        records = foresee(scenario.speeds, scenario.arrivals)
    else:
        records = simulate(scenario, contender.balancing, contender.admission, seed)
    return judge(records, scenario.speeds, scenario.seconds)


def _seen(job: tuple[float, int, int]) -> Result:
    interval, gateways, seed = job
    scenario = uneven(seed, scrape_seconds=interval, gateways=gateways)
    return judge(simulate(scenario, OURS.balancing, OURS.admission, seed), scenario.speeds, scenario.seconds)


def compare(pool: ProcessPoolExecutor, named: Named, seeds: int) -> dict[str, Runs]:
    contenders: list[Contender | None] = [OURS, *BASELINES, None]
    found = {}
    for contender in contenders:
        name = contender.name if contender else ORACLE
        found[name] = list(pool.map(_run, [(named, contender, seed) for seed in range(seeds)]))
    return found


def _bars(axes: object, title: str, rows: dict[str, dict[str, Estimate]], unit: str) -> None:
    """Groups of bars: a group a scenario, a bar a contender."""
    names = list(next(iter(rows.values())))
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        values = [row[name] for row in rows.values()]
        at = [group + (place - (len(names) - 1) / 2) * width for group in range(len(rows))]
        errors = [[each.value - each.low for each in values], [each.high - each.value for each in values]]
        axes.bar(at, [each.value for each in values], width, yerr=errors, label=name, capsize=1.5)  # type: ignore[attr-defined]  # matplotlib's Axes
    axes.set_title(title, fontsize=9)  # type: ignore[attr-defined]  # matplotlib's Axes
    axes.set_xticks(range(len(rows)), list(rows), fontsize=7)  # type: ignore[attr-defined]  # matplotlib's Axes
    axes.set_ylabel(unit, fontsize=8)  # type: ignore[attr-defined]  # matplotlib's Axes
    axes.grid(axis="y", alpha=0.3)  # type: ignore[attr-defined]  # matplotlib's Axes


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation.figure", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        waiting = {named.name: compare(pool, named, given.seeds) for named in WAITING}
        overloaded = {named.name: compare(pool, named, given.seeds) for named in OVERLOADED}
        jobs = [(interval, gateways) for gateways in GATEWAYS for interval in SCRAPES]
        views = {job: list(pool.map(_seen, [(*job, seed) for seed in range(max(3, given.seeds // 2))])) for job in jobs}
    draw(waiting, overloaded, views, given.out)
    tell(waiting, overloaded, views)
    return 0


def draw(
    waiting: dict[str, dict[str, Runs]],
    overloaded: dict[str, dict[str, Runs]],
    views: dict[tuple[float, int], Runs],
    out: Path,
) -> None:
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(2, 2, figsize=(11, 6.5), layout="constrained")
    clipped = {
        row: {name: runs for name, runs in found.items() if "robin" not in name} for row, found in waiting.items()
    }
    for axes, part, unit in ((grid[0][0], "p99", "p99, s"), (grid[0][1], "mean", "mean, s")):
        rows = {
            row: {n: estimate([getattr(r, part) for r in runs]) for n, runs in found.items()}
            for row, found in clipped.items()
        }
        _bars(axes, f"Latency: {part} (round robins left out: tens of seconds)", rows, unit)
    rows = {
        row: {n: estimate([r.goodput for r in runs]) for n, runs in found.items()} for row, found in overloaded.items()
    }
    _bars(grid[1][0], "Overload: tokens of whole answers, share of capacity", rows, "goodput")
    grid[0][0].legend(fontsize=7)
    for gateways in GATEWAYS:
        values = [estimate([r.p99 for r in views[interval, gateways]]) for interval in SCRAPES]
        errors = [[v.value - v.low for v in values], [v.high - v.value for v in values]]
        grid[1][1].errorbar(SCRAPES, [v.value for v in values], yerr=errors, label=f"{gateways} gateways", capsize=2)
    grid[1][1].set_xscale("log")
    grid[1][1].set_title("Uneven, load .85: p99 by scrape interval (s) and gateways", fontsize=9)
    grid[1][1].grid(alpha=0.3)
    grid[1][1].legend(fontsize=7)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


def tell(
    waiting: dict[str, dict[str, Runs]], overloaded: dict[str, dict[str, Runs]], views: dict[tuple[float, int], Runs]
) -> None:
    """The figures as a table: means over the seeds, and half of the 95% interval."""
    for row, found in {**waiting, **overloaded}.items():
        for name, runs in found.items():
            parts = [estimate([getattr(run, part) for run in runs]) for part in ("p99", "mean", "goodput")]
            shown = "  ".join(f"{each.value:.3f} ±{(each.high - each.low) / 2:.3f}" for each in parts)
            print(f"{row:20} {name:28} {shown}")
    for (interval, gateways), runs in views.items():
        p99, mean = (estimate([getattr(run, part) for run in runs]).value for part in ("p99", "mean"))
        print(f"gateways {gateways}  scrape {interval:g} s  p99 {p99:.3f}  mean {mean:.3f}")


if __name__ == "__main__":
    sys.exit(main())
