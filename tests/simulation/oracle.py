"""What could be had by somebody who knows every speed, every length and every slot's end: a bound, not a policy."""

from __future__ import annotations

from simulation.gateways import HOP_SECONDS, Record
from simulation.pods import SLOTS, TOKEN_SECONDS
from simulation.traces import Arrival


def foresee(speeds: tuple[float, ...], arrivals: tuple[Arrival, ...]) -> list[Record]:
    """Each call on the slot that finishes it first, be it free or not; none that would come too late."""
    free_at = [(speed, 0.0) for speed in speeds for _ in range(SLOTS)]
    records = []
    for arrival in arrivals:
        reached = arrival.at + HOP_SECONDS
        ends = [max(reached, free) + arrival.tokens * TOKEN_SECONDS / speed for speed, free in free_at]
        slot = min(range(len(ends)), key=ends.__getitem__)
        record = Record(arrival, ended=arrival.at, left=True)
        if ends[slot] + HOP_SECONDS - arrival.at <= min(arrival.patience, arrival.leaves):
            free_at[slot] = (free_at[slot][0], ends[slot])
            record = Record(arrival, ended=ends[slot] + HOP_SECONDS, ok=True, tries=1)
        records.append(record)
    return records
