"""What runs and what waits in one engine: slots, a first-in-first-out queue, and the time that tokens take."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Job:
    """One generation. ``on_token(n)`` comes with each n-th token where it is set, ``on_done()`` with the last.

    A job without ``on_token`` costs one timer, however long it is.
    """

    tokens: int
    reserved: int
    """Tokens of prompt and answer that it holds memory for."""
    on_done: Callable[[], None]
    on_token: Callable[[int], None] | None = None
    queued_at: float = 0.0
    started_at: float = 0.0
    aborted: bool = False
    done: float = 0.0
    """Tokens made at ``since``, a fraction where the speed changed inside one."""
    since: float = 0.0
    timer: asyncio.Handle | None = field(default=None, repr=False)


class Slots:
    """Runs up to ``slots`` jobs; a token takes ``token_seconds / speed``, however many run.

    An aborted job that waits stays in the queue until it is at its front where ``keeps_aborted`` (so TGI counts).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: int,
        token_seconds: float,
        *,
        speed: float = 1.0,
        keeps_aborted: bool = False,
    ) -> None:
        self._loop = loop
        self._slots = slots
        self._token_seconds = token_seconds
        self._speed = speed
        self._keeps_aborted = keeps_aborted
        self._steps = 0.0
        self._steps_since = 0.0
        self._ended_tokens = 0.0
        self.running: set[Job] = set()
        self.waiting: deque[Job] = deque()
        self.max_running = 0
        self.max_waiting = 0

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        """What runs goes on from where it is, at the new pace."""
        now = self._loop.time()
        self._count_steps(now)
        for job in self.running:
            self._advance(job, now)
        self._speed = speed
        for job in self.running:
            self._schedule(job)

    @property
    def live(self) -> int:
        """Jobs that somebody waits for."""
        return len(self.running) + sum(not job.aborted for job in self.waiting)

    @property
    def reserved(self) -> int:
        """Tokens that the running jobs hold memory for."""
        return sum(job.reserved for job in self.running)

    def tokens_made(self) -> float:
        """Of all jobs up to now, those that go on included."""
        now = self._loop.time()
        return self._ended_tokens + sum(self._progress(job, now) for job in self.running)

    def steps(self) -> float:
        """Decode steps up to now: they go on at the pace of one sequence while anything runs."""
        self._count_steps(self._loop.time())
        return self._steps

    def submit(self, job: Job) -> None:
        job.queued_at = self._loop.time()
        self.waiting.append(job)
        self._fill()
        self.max_waiting = max(self.max_waiting, len(self.waiting))

    def abort(self, job: Job) -> None:
        """Its client has gone: a slot is free at once; a place in the queue when its turn comes, or at once."""
        job.aborted = True
        if job in self.running:
            self._advance(job, self._loop.time())
            self._end(job)
        elif not self._keeps_aborted:
            self.waiting.remove(job)
        self._fill()

    def _fill(self) -> None:
        now = self._loop.time()
        while self.waiting and (self.waiting[0].aborted or len(self.running) < self._slots):
            job = self.waiting.popleft()
            if job.aborted:
                continue
            self._count_steps(now)
            self.running.add(job)
            job.started_at = job.since = now
            self._schedule(job)
        self.max_running = max(self.max_running, len(self.running))

    def _end(self, job: Job) -> None:
        self._count_steps(self._loop.time())
        if job.timer is not None:
            job.timer.cancel()
        self._ended_tokens += job.done
        self.running.remove(job)

    def _schedule(self, job: Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        due = job.tokens if job.on_token is None else int(job.done) + 1
        wait = (due - job.done) * self._token_seconds / self._speed
        if wait > 0:
            job.timer = self._loop.call_at(job.since + wait, self._due, job, due)
        else:
            job.timer = self._loop.call_soon(self._due, job, due)

    def _due(self, job: Job, tokens: int) -> None:
        """``tokens`` of ``job`` are made. The next is timed from when this one was due: lateness does not add up."""
        job.since += (tokens - job.done) * self._token_seconds / self._speed
        job.done = tokens
        if job.on_token is not None and tokens <= job.tokens:
            job.on_token(tokens)
            if job.aborted:
                return
        if tokens < job.tokens:
            self._schedule(job)
            return
        self._end(job)
        self._fill()
        job.on_done()

    def _progress(self, job: Job, now: float) -> float:
        if self._token_seconds == 0:
            return job.done
        return min(job.tokens, job.done + max(0.0, now - job.since) * self._speed / self._token_seconds)

    def _advance(self, job: Job, now: float) -> None:
        job.done, job.since = self._progress(job, now), now

    def _count_steps(self, now: float) -> None:
        if self.running and self._token_seconds > 0:
            self._steps += (now - self._steps_since) * self._speed / self._token_seconds
        self._steps_since = now
