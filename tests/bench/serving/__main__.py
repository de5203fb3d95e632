"""``python -m bench.serving``: rows x routers x seeds, medians over the seeds."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop
from recsys_gateway.config import Admission, Balancing
from simulation.traces import poisson
from simulation.world import Scenario, simulate

from bench.serving.client import Result
from bench.serving.routers import NAMES, available
from bench.serving.rows import ROWS, Row, aborts, figures, run

SHOWN = ("calls", "failed", "p50", "p99", "mean", "goodput", "shed", "shed_p99")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.serving", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=[*names, "aborts"], default=[*names, "aborts"])
    parser.add_argument("--routers", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60, help="length of a trace")
    parser.add_argument("--simulated", action="store_true", help="beside it what the simulator says of ours")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    here = available()
    for absent in [name for name in given.routers if name not in here]:
        print(f"left out: {absent} is not installed")
    uvloop.install()
    written: dict[str, Mapping[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for row in [row for row in ROWS if row.name in given.rows]:
            routers = [name for name in given.routers if name in here]
            written[row.name] = _row(row, routers, given, Path(folder))
        if "aborts" in given.rows:
            for name in [name for name in given.routers if name in here]:
                written[f"aborts {name}"] = {name: [aborts(name, Path(folder))]}
                print("aborts", name, written[f"aborts {name}"][name][0], flush=True)
    if given.json:
        given.json.write_text(json.dumps(written, indent=1))
    return 0


def _row(
    row: Row, routers: Sequence[str], given: argparse.Namespace, folder: Path
) -> dict[str, list[dict[str, float]]]:
    """Each seed's trace goes to all routers, one after the other."""
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for name in routers:
            found.setdefault(name, []).append(run(row, name, seed, given.seconds, folder))
        if given.simulated:
            found.setdefault("simulated", []).append(simulated(row, seed, given.seconds))
    print(f"\n{row.name}: medians of {given.seeds} seeds, {given.seconds:g} s each")
    print(f"{'':16}" + "".join(f"{name:>10}" for name in SHOWN))
    for name, runs in found.items():
        medians = [statistics.median(each[key] for each in runs) for key in SHOWN]
        print(f"{name:16}" + "".join(f"{value:10.3f}" for value in medians), flush=True)
    return found


def simulated(row: Row, seed: int, seconds: float) -> dict[str, float]:
    """The same trace through the simulator, for rows in which nothing happens to the pods."""
    patience = row.give_up if row.says_timeout else float("inf")
    scenario = Scenario(row.speeds, poisson(seed, row.speeds, row.load, seconds, patience), seconds=seconds)
    records = simulate(scenario, Balancing(), Admission(), seed)
    results = [Result(each.arrival.tokens, each.seconds, 200 if each.ok else 0, each.refused or "") for each in records]
    return figures(results, row, seconds)


if __name__ == "__main__":
    sys.exit(main())
