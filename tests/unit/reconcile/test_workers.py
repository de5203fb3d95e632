"""The asyncio edge of the queue: turns run, failures come again, a cancelled run leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from recsys_operator.reconcile.work_queue import Backoff, Key, WorkQueue
from recsys_operator.reconcile.workers import CONCURRENCY, Workers

SHOP = Key("default", "shop")


async def test_a_failed_turn_comes_again_until_it_succeeds() -> None:
    turns = 0
    succeeded = asyncio.Event()

    async def work(_: Key) -> float | None:
        nonlocal turns
        turns += 1
        if turns < 3:
            raise ConnectionError("the API server is away")
        succeeded.set()
        return None

    workers = Workers(work, WorkQueue(Backoff(first=0.01)))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(workers.run())
        workers.mark(SHOP)
        await succeeded.wait()
        running.cancel()

    assert turns == 3


async def test_many_keys_run_at_once_but_not_all() -> None:
    at_work, most, left = 0, 0, 3 * CONCURRENCY
    finished = asyncio.Event()

    async def work(_: Key) -> float | None:
        nonlocal at_work, most, left
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_work -= 1
        left -= 1
        if left == 0:
            finished.set()
        return None

    workers = Workers(work)
    for number in range(left):
        workers.mark(Key("default", f"system-{number}"), delay=0)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(workers.run())
        await finished.wait()
        running.cancel()

    assert 1 < most <= CONCURRENCY


async def test_a_turn_that_is_under_way_is_cancelled_with_the_run() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(_: Key) -> float | None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return None

    workers = Workers(work)
    workers.mark(SHOP, delay=0)
    running = asyncio.create_task(workers.run())
    async with asyncio.timeout(5):
        await began.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert ended.is_set()
