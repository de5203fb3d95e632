"""Calls that wait: by priority, then by tenant, then by time.

- Between priorities: the highest first, but each lower one is served its floor as long as it has calls.
- Between tenants of one priority: in turn.
- Within a tenant: oldest first, and newest first while more wait than are served in a share of the oldest one's time.
  Under overload some calls will be too late whatever happens; it had better be the same few, and not each of them at
  the last moment. A share of a call's own time, so that calls with time to wait keep their order in a short burst.
- The queue is bounded, and so is a tenant's part of it. A full queue drops the oldest call of the tenant that has the
  most, where the newcomer's tenant has clearly less: nobody can lock others out.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from recsys_gateway.serving.admission.outcomes import Outcome


class Priority(IntEnum):
    HIGH = 0
    NORMAL = 1
    LOW = 2


Payload = TypeVar("Payload")


@dataclass(eq=False, slots=True)
class Waiting(Generic[Payload]):
    """A place in the queue. ``deadline`` is a reading of the caller's clock; ``seconds`` were left when it came."""

    payload: Payload
    tenant: str
    priority: Priority
    deadline: float
    seconds: float
    present: bool = field(default=True)


class _Level(Generic[Payload]):
    """The tenants of one priority; the first in order is next."""

    def __init__(self) -> None:
        self.tenants: OrderedDict[str, deque[Waiting[Payload]]] = OrderedDict()
        self.size = 0
        self.credit = 0.0

    def trim(self) -> None:
        """Drop what has left, so that both ends of the next tenant's calls are present."""
        while self.tenants:
            tenant, calls = next(iter(self.tenants.items()))
            while calls and not calls[0].present:
                calls.popleft()
            while calls and not calls[-1].present:
                calls.pop()
            if calls:
                return
            del self.tenants[tenant]


class WaitingQueue(Generic[Payload]):
    """Not for use from several threads."""

    def __init__(self, places: int, tenant_share: float, floors: dict[Priority, float]) -> None:
        self._places = places
        self._tenant_places = max(1, int(places * tenant_share))
        self._floors = floors
        self._levels: dict[Priority, _Level[Payload]] = {priority: _Level() for priority in Priority}
        self._by_tenant: dict[str, int] = {}
        self._deadlines: list[tuple[float, int, Waiting[Payload]]] = []
        self._order = itertools.count()
        self._size = 0

    def resize(self, places: int, tenant_share: float, floors: dict[Priority, float]) -> None:
        """New bounds, for the calls that come from now on."""
        self._places = places
        self._tenant_places = max(1, int(places * tenant_share))
        self._floors = floors

    def __len__(self) -> int:
        return self._size

    def push(self, waiting: Waiting[Payload], *, first: bool = False) -> tuple[Outcome | None, Waiting[Payload] | None]:
        """Let a call wait: why it may not (or None), and the call that had to leave for it (or None).

        ``first``: a call that has waited before goes before the others of its tenant.
        """
        evicted = None
        held = self._by_tenant.get(waiting.tenant, 0)
        if self._size >= self._places:
            evicted = self._victim(waiting, held)
            if evicted is None:
                return Outcome.QUEUE_FULL, None
            self.remove(evicted)
        elif held >= self._tenant_places:
            return Outcome.TENANT_FULL, None
        calls = self._levels[waiting.priority].tenants.setdefault(waiting.tenant, deque())
        (calls.appendleft if first else calls.append)(waiting)
        waiting.present = True
        self._count(waiting, 1)
        heapq.heappush(self._deadlines, (waiting.deadline, next(self._order), waiting))
        return None, evicted

    def peek(self, served_in_share: float) -> Waiting[Payload] | None:
        """The call that is next; None where nobody waits.

        ``served_in_share``: calls that are served a second, times the share of a call's time after which newest first
        begins.
        """
        priority = self._next_priority()
        if priority is None:
            return None
        tenant, calls = next(iter(self._levels[priority].tenants.items()))
        return calls[-1] if self._by_tenant[tenant] > served_in_share * calls[0].seconds else calls[0]

    def take(self, waiting: Waiting[Payload]) -> None:
        """The call that ``peek`` gave is served: it leaves, and its tenant and priority have had their turn."""
        level = self._levels[waiting.priority]
        for priority, other in self._levels.items():
            if other.size and priority is not waiting.priority:
                other.credit = min(1.0, other.credit + self._floors.get(priority, 0.0))
        level.credit = max(0.0, level.credit - 1.0) if level.size > 1 else 0.0
        level.tenants.move_to_end(waiting.tenant)
        self.remove(waiting)

    def remove(self, waiting: Waiting[Payload]) -> bool:
        """Take a call out wherever it stands; whether it was there."""
        if not waiting.present:
            return False
        waiting.present = False
        self._count(waiting, -1)
        if len(self._deadlines) > 64 + 4 * self._size:
            self._deadlines = [entry for entry in self._deadlines if entry[2].present]
            heapq.heapify(self._deadlines)
        return True

    def expire(self, now: float) -> list[Waiting[Payload]]:
        """Take out the calls whose time is over."""
        gone = []
        while self._deadlines and (self._deadlines[0][0] <= now or not self._deadlines[0][2].present):
            waiting = heapq.heappop(self._deadlines)[2]
            if self.remove(waiting):
                gone.append(waiting)
        return gone

    def next_deadline(self) -> float | None:
        while self._deadlines and not self._deadlines[0][2].present:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _next_priority(self) -> Priority | None:
        """The highest one with calls, unless a lower one has earned its turn by its floor."""
        filled = [priority for priority, level in self._levels.items() if level.size]
        if not filled:
            return None
        owed = next((priority for priority in reversed(filled) if self._levels[priority].credit >= 1.0), filled[0])
        self._levels[owed].trim()
        return owed

    def _victim(self, newcomer: Waiting[Payload], held: int) -> Waiting[Payload] | None:
        """The oldest call of the tenant with the most, of the lowest priority that it uses."""
        tenant, most = max(self._by_tenant.items(), key=lambda entry: entry[1], default=("", 0))
        if most <= held + 1 or tenant == newcomer.tenant:
            return None
        for priority in reversed(Priority):
            calls = self._levels[priority].tenants.get(tenant, ())
            oldest = next((each for each in calls if each.present), None)
            if oldest is not None:
                return oldest
        return None

    def _count(self, waiting: Waiting[Payload], change: int) -> None:
        self._size += change
        self._levels[waiting.priority].size += change
        held = self._by_tenant.get(waiting.tenant, 0) + change
        if held:
            self._by_tenant[waiting.tenant] = held
        else:
            del self._by_tenant[waiting.tenant]
