"""Real child processes: kept running, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from recsys_operator.local.child import StartError
from recsys_operator.local.plan import HttpHealth, ProcessSpec, TcpHealth
from recsys_operator.local.ports import free_ports
from recsys_operator.local.state import ProcessState, ProcessStatus
from recsys_operator.local.supervisor import Supervisor

SERVER = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER


def server(folder: Path, name: str = "web", code: str = SERVER, start_seconds: float = 20) -> ProcessSpec:
    (port,) = free_ports(1)
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", code, str(port)),
        port=port,
        health=HttpHealth(f"http://127.0.0.1:{port}/"),
        log=folder / f"{name}.log",
        start_seconds=start_seconds,
    )


class Watched:
    """A supervisor with every list of states that it told of."""

    def __init__(self) -> None:
        self.told: list[tuple[ProcessState, ...]] = []
        self.supervisor = Supervisor(self.told.append)

    async def until(self, condition: Callable[[ProcessState], bool], seconds: float = 20) -> ProcessState:
        async with asyncio.timeout(seconds):
            while not condition(self.told[-1][0]):  # noqa: ASYNC110 - the supervisor tells by a plain callback
                await asyncio.sleep(0.02)
        return self.told[-1][0]

    def statuses(self, name: str) -> list[ProcessStatus]:
        seen = [state.status for states in self.told for state in states if state.name == name]
        return [status for index, status in enumerate(seen) if index == 0 or seen[index - 1] is not status]


def is_alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_killed_process_is_started_again_and_shown(tmp_path: Path) -> None:
    watched = Watched()
    try:
        await watched.supervisor.start([server(tmp_path)])
        first = watched.told[-1][0]
        assert first.status is ProcessStatus.READY
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        again = await watched.until(lambda state: state.status is ProcessStatus.READY and state.restarts == 1)
        assert again.pid != first.pid
        assert again.last_exit == -signal.SIGKILL
        starting, ready, backoff = ProcessStatus.STARTING, ProcessStatus.READY, ProcessStatus.BACKOFF
        assert watched.statuses("web") == [starting, ready, backoff, starting, ready]
        assert "[recsys] web ended with signal SIGKILL; starting again in 0.5 s" in (tmp_path / "web.log").read_text()
    finally:
        await watched.supervisor.stop()
    assert again.pid is not None
    assert not is_alive(again.pid)
    assert watched.told[-1][0].status is ProcessStatus.STOPPED


async def test_a_process_that_keeps_dying_waits_longer_each_time(tmp_path: Path) -> None:
    once = tmp_path / "once"
    code = f"import os, sys\nif os.path.exists({str(once)!r}): sys.exit('boom')\nopen({str(once)!r}, 'w')\n{SERVER}"
    watched = Watched()
    try:
        await watched.supervisor.start([server(tmp_path, code=code)])
        pid = watched.told[-1][0].pid
        assert pid is not None
        begin = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        last = await watched.until(lambda state: state.restarts == 3)
        assert time.monotonic() - begin >= 0.5 + 1
        assert (last.status, last.last_exit) == (ProcessStatus.BACKOFF, 1)
        assert "starting again in 2 s" in (tmp_path / "web.log").read_text()
    finally:
        await watched.supervisor.stop()


async def test_a_process_that_ends_before_it_is_ready_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    watched = Watched()
    with pytest.raises(StartError, match=r"web ended with exit code 1 before it was ready: no such model \(log: .*web"):
        await watched.supervisor.start([server(tmp_path, code="import sys\nsys.exit('no such model')")])
    await watched.supervisor.stop()


async def test_a_process_that_never_gets_ready_fails_the_start_and_is_ended(tmp_path: Path) -> None:
    watched = Watched()
    spec = server(tmp_path, code="import time\ntime.sleep(60)", start_seconds=0.3)
    with pytest.raises(StartError, match="web was not ready after 0 s: it said nothing"):
        await watched.supervisor.start([spec])
    pid = watched.told[-1][0].pid
    await watched.supervisor.stop()
    assert pid is not None
    assert not is_alive(pid)


async def test_one_that_fails_does_not_leave_the_others(tmp_path: Path) -> None:
    watched = Watched()
    slow = server(tmp_path, "slow", f"import time\ntime.sleep(60)\n{SERVER}")
    with pytest.raises(StartError, match="bad ended"):
        await watched.supervisor.start([slow, server(tmp_path, "bad", "raise SystemExit(3)")])
    pids = [state.pid for states in watched.told for state in states if state.pid is not None]
    await watched.supervisor.stop()
    assert len(set(pids)) == 2
    assert not any(map(is_alive, pids))


async def test_another_program_in_its_place_is_not_taken_for_it(tmp_path: Path) -> None:
    watched, second = Watched(), Watched()
    spec = server(tmp_path)
    try:
        await watched.supervisor.start([spec])
        with pytest.raises(StartError, match=f"web cannot start: another program has port {spec.port}"):
            await second.supervisor.start([spec])
    finally:
        await watched.supervisor.stop()
    await second.supervisor.stop()
    assert second.told == []


async def test_one_that_does_not_listen_to_sigterm_is_killed(tmp_path: Path) -> None:
    watched = Watched()
    await watched.supervisor.start([server(tmp_path, code=STUBBORN)])
    pid = watched.told[-1][0].pid
    begin = time.monotonic()
    await watched.supervisor.stop()
    assert time.monotonic() - begin < 8
    assert watched.told[-1][0].last_exit == -signal.SIGKILL
    assert pid is not None
    assert not is_alive(pid)


async def test_stopping_while_a_dead_process_waits_starts_nothing_more(tmp_path: Path) -> None:
    watched = Watched()
    await watched.supervisor.start([server(tmp_path)])
    pid = watched.told[-1][0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await watched.until(lambda state: state.status is ProcessStatus.BACKOFF)
    await watched.supervisor.stop()
    assert watched.told[-1][0].status is ProcessStatus.STOPPED
    assert watched.told[-1][0].pid is None


async def test_health_by_port(tmp_path: Path) -> None:
    watched = Watched()
    spec = server(tmp_path)
    spec = ProcessSpec(spec.name, spec.argv, spec.port, TcpHealth(spec.port), spec.log)
    try:
        await watched.supervisor.start([spec])
        assert watched.told[-1][0].status is ProcessStatus.READY
    finally:
        await watched.supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    code = f"""
import asyncio, sys
from pathlib import Path
from recsys_operator.local.plan import HttpHealth, ProcessSpec
from recsys_operator.local.supervisor import Supervisor

async def main():
    supervisor = Supervisor(lambda states: None)
    await supervisor.start([ProcessSpec("web", (sys.executable, "-c", {SERVER!r}, "{port}"), {port},
                                        HttpHealth("http://127.0.0.1:{port}/"), Path({str(tmp_path / "web.log")!r}))])
    print(supervisor._children[0].state.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.02)
