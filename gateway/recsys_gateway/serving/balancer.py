"""The dispatchers of one model on the running loop: acquire a pod, release it. Time comes in here, and nothing else."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from random import Random

from recsys_gateway.config import Admission, Balancing, ServedModel, Track
from recsys_gateway.serving.admission.outcomes import Outcome
from recsys_gateway.serving.balancing.canary import track_of
from recsys_gateway.serving.balancing.dispatcher import Call, CallEnd, Dispatcher, Lease
from recsys_gateway.serving.balancing.pod import PodSpec, PodState
from recsys_gateway.serving.policies.registry import policy_of

TICK_SECONDS = 0.25
"""While calls wait: what changes with time alone (a slow start, an ejection that ends) is looked at so often."""
LONGEST_RETRY_AFTER = 60

clock = time.monotonic


class Refused(Exception):
    """The call gets no pod. ``retry_after`` in whole seconds."""

    def __init__(self, outcome: Outcome, retry_after: int) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome
        self.retry_after = retry_after


class _Settlement:
    """What a dispatcher said of one call, and who is to be woken by it."""

    __slots__ = ("future", "got")

    def __init__(self) -> None:
        self.got: Lease | Outcome | None = None
        self.future: asyncio.Future[None] | None = None

    def settle(self, got: Lease | Outcome) -> None:
        self.got = got
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Balancer:
    """Needs a running loop to wait; not for use from several threads."""

    def __init__(self, model: ServedModel, admission: Admission, balancing: Balancing, random: Random) -> None:
        self.model = model
        self._admission = admission
        self._balancing = balancing
        self._gateways: int | None = None
        self._dispatchers = {track: Dispatcher(admission, balancing, policy_of(balancing), random) for track in Track}
        self._ticking: set[Track] = set()

    def apply(self, model: ServedModel, admission: Admission, balancing: Balancing) -> None:
        """New settings; calls that wait or run are not touched."""
        same_policy = balancing == self._balancing
        self.model, self._admission, self._balancing = model, admission, balancing
        for dispatcher in self._dispatchers.values():
            dispatcher.configure(admission, None if same_policy else policy_of(balancing))
        self._share()

    def count_gateways(self, count: int | None) -> None:
        """So many gateways share the pods, whatever the configuration says; None: as it says."""
        self._gateways = count
        self._share()

    def _share(self) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.set_gateways(self._gateways or self._balancing.replicas, clock())

    def set_pods(self, specs: Sequence[PodSpec]) -> None:
        now = clock()
        for track, dispatcher in self._dispatchers.items():
            dispatcher.set_pods([spec for spec in specs if spec.track is track], now)

    @property
    def dispatchers(self) -> Sequence[Dispatcher]:
        return list(self._dispatchers.values())

    @property
    def pods(self) -> list[PodState]:
        return [pod for dispatcher in self._dispatchers.values() for pod in dispatcher.pods.values()]

    @property
    def waiting(self) -> int:
        return sum(dispatcher.waiting for dispatcher in self._dispatchers.values())

    @property
    def in_flight(self) -> int:
        return sum(dispatcher.in_flight for dispatcher in self._dispatchers.values())

    def dispatcher_of(self, pod: PodState) -> Dispatcher:
        return self._dispatchers[pod.spec.track]

    async def acquire(self, call: Call, sticky: str = "", *, again: bool = False) -> Lease:
        """A place at a pod, as soon as there is one. ``sticky``: what keeps its track (a session, a user).

        Raises:
            Refused: there is none in time.
        """
        track = self._track(sticky)
        dispatcher, settlement = self._dispatchers[track], _Settlement()
        waiting = dispatcher.submit(call, settlement.settle, clock(), again=again)
        if settlement.got is None:
            settlement.future = asyncio.get_running_loop().create_future()
            self._tick(track)
            try:
                await settlement.future
            except asyncio.CancelledError:
                if isinstance(settlement.got, Lease):
                    self.release(settlement.got, CallEnd.ABANDONED)
                elif waiting is not None:
                    dispatcher.withdraw(waiting, clock())
                raise
        match settlement.got:
            case Lease() as lease:
                return lease
            case Outcome() as outcome:
                raise Refused(outcome, self._retry_after(dispatcher))
            case _:
                raise RuntimeError("a call was woken without a pod and without a refusal")

    def release(self, lease: Lease, end: CallEnd) -> None:
        """The call has left its pod; a second time does nothing."""
        self._dispatchers[lease.pod.spec.track].release(lease, end, clock())

    def _track(self, sticky: str) -> Track:
        """The canary's share goes there as long as it has a pod, and all of it where the stable track has none."""
        canary, stable = self._dispatchers[Track.CANARY], self._dispatchers[Track.STABLE]
        if not canary.pods:
            return Track.STABLE
        now = clock()
        wanted = track_of(sticky, self.model.canary_traffic)
        if wanted is Track.CANARY and not canary.usable(now) and stable.pods:
            return Track.STABLE
        if wanted is Track.STABLE and not stable.usable(now) and canary.usable(now):
            return Track.CANARY
        return wanted

    def _tick(self, track: Track) -> None:
        if track not in self._ticking:
            self._ticking.add(track)
            self._on_tick(track)

    def _on_tick(self, track: Track) -> None:
        dispatcher, now = self._dispatchers[track], clock()
        due = dispatcher.tick(now)
        if due is None:
            self._ticking.discard(track)
            return
        pause = min(TICK_SECONDS, max(0.001, due - now))
        asyncio.get_running_loop().call_later(pause, self._on_tick, track)

    def _retry_after(self, dispatcher: Dispatcher) -> int:
        wait = dispatcher.expected_wait(clock())
        if wait is None:
            return math.ceil(self.model.timeouts.start_up_seconds)
        return max(1, min(LONGEST_RETRY_AFTER, math.ceil(wait)))
