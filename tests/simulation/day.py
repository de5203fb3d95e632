"""``python -m simulation.day``: 24 simulated hours of the gateway's own objects, with trouble all day long.

Pods die, freeze and slow down, scrapes fail, clients hang up; at the end every counter is zero, and the memory that the
dispatcher held after an hour is the memory that it holds after the day.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
from dataclasses import dataclass, replace
from random import Random

from recsys_gateway.config import Admission, Balancing
from recsys_gateway.serving.admission.waiting_queue import Priority

from simulation.gateways import Record
from simulation.traces import capacity, leaving, poisson
from simulation.world import Event, Happening, Scenario, World

SPEEDS = (1.0, 1.0, 0.5, 0.25)
SETTLING_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Day:
    """Calls by how they ended; bytes that lived after the first hour and after the last; whether all is at rest."""

    calls: int
    answered: int
    refused: int
    left: int
    first_hour_bytes: int
    last_hour_bytes: int
    at_rest: bool


def live(hours: float, load: float, seed: int = 0) -> Day:
    """The arrivals are made hour by hour, and their records forgotten, so that what grows is the gateway's own."""
    world = World(Scenario(SPEEDS, (), seconds=hours * 3600), Balancing(), Admission(), seed)
    for event in _troubles(hours * 3600, Random(f"troubles {seed}")):
        world.clock.at(event.at, lambda event=event: world.happen(event))
    counts, sizes, open_records = [0, 0, 0, 0], list[int](), list[Record]()
    tracemalloc.start()
    last = max(1, round(hours)) - 1
    for hour in range(last + 1):
        begin, seconds = hour * 3600.0, min(3600.0, hours * 3600)
        for arrival in leaving(poisson(seed + hour, SPEEDS, load, seconds, 30.0), hour, 0.1, 1.0):
            shifted = replace(arrival, at=begin + arrival.at, tenant=f"t{hour % 7}", priority=_priority(arrival.tokens))
            world.clock.at(shifted.at, lambda each=shifted: open_records.append(world.gateways[0].serve(each)))
        world.clock.run(begin + seconds + (SETTLING_SECONDS if hour == last else 0.0))
        for record in open_records:
            counts[0 if record.ok else 1 if record.refused else 2 if record.left else 3] += 1
        open_records.clear()
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    return Day(sum(counts), counts[0], counts[1], counts[2] + counts[3], sizes[0], sizes[-1], world.at_rest)


def _priority(tokens: int) -> Priority:
    return (Priority.HIGH, Priority.NORMAL, Priority.LOW)[tokens % 3]


def _troubles(seconds: float, random: Random) -> list[Event]:
    """Every ten minutes or so one pod has some seconds of trouble; all is well at the end."""
    events, when = list[Event](), 60.0
    pairs = ((Happening.DIE, Happening.REVIVE), (Happening.FREEZE, Happening.THAW))
    while (when := when + random.expovariate(1 / 600)) < seconds - 120:
        pod, lasts = random.randrange(len(SPEEDS)), random.uniform(5, 40)
        if random.random() < 1 / 3:
            events += [Event(when, Happening.SPEED, pod, SPEEDS[pod] / 4)]
            events += [Event(when + lasts, Happening.SPEED, pod, SPEEDS[pod])]
        elif random.random() < 1 / 4:
            events += [Event(when, Happening.SCRAPES_FAIL), Event(when + lasts, Happening.SCRAPES_WORK)]
        else:
            begin, end = random.choice(pairs)
            events += [Event(when, begin, pod), Event(when + lasts, end, pod)]
        when += lasts
    return events


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation.day", description=__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--load", type=float, default=0.2, help="share of what the pods can do")
    given = parser.parse_args()
    day = live(given.hours, given.load)
    print(day)
    print(f"asked for {given.load * capacity(SPEEDS):.0f} tokens a second of {capacity(SPEEDS):.0f}")
    flat = day.last_hour_bytes < 1.2 * day.first_hour_bytes + 1_000_000
    return 0 if flat and day.at_rest else 1


if __name__ == "__main__":
    sys.exit(main())
