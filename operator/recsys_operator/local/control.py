"""`recsys down` and `recsys status`: what a running system says of itself, and how it is ended from outside."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys_operator.local.spawning import exit_text
from recsys_operator.local.state import DataDirectory, DataDirectoryError, LocalState, ProcessState, ProcessStatus

STOP_SECONDS = 30.0
EXIT_SECONDS = 2.0
POLL_SECONDS = 0.05
COLOURS = {
    ProcessStatus.READY: "green",
    ProcessStatus.STARTING: "yellow",
    ProcessStatus.BACKOFF: "red",
    ProcessStatus.STOPPED: "dim",
}


def down(directory: DataDirectory) -> LocalState | None:
    """Stop the system in ``directory`` and wait until it is gone; its last state, or None where nothing ran.

    A supervisor that does not end in time is killed: the kernel then ends its children.
    """
    state = directory.running_state()
    if state is None:
        if directory.is_locked():
            raise DataDirectoryError(
                f"{directory.path}: recsys runs here, and its state.json is missing or unreadable: "
                f"end the process that holds {directory.lock} (fuser {directory.lock})"
            )
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(state.pid, number)
        if _holds(lambda: not directory.is_locked(), STOP_SECONDS):
            break
    directory.clear()
    # Its children are gone with the lock; the interpreter itself takes a moment more. A zombie is none of ours.
    _holds(lambda: not _exists(state.pid), EXIT_SECONDS)
    return state


def _holds(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def show_status(console: Console, state: LocalState) -> None:
    """A table of the processes under the system's name, address and models."""
    phase = "ready" if state.ready else state.phase
    console.print(
        f"[bold]{escape(state.system)}[/] · {escape(state.url)} · {escape(phase)} · supervisor pid {state.pid}",
        highlight=False,
        soft_wrap=True,
    )
    for model in state.models:
        sample = " (sample model)" if model.sample else ""
        console.print(f"{model.role} model: {escape(model.name)}{sample}", style="dim", highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("process", "status", "pid", "port", "restarts", "last end"):
        table.add_column(title, justify="right" if title in {"pid", "port", "restarts"} else "left", no_wrap=True)
    for process in state.processes:
        table.add_row(*_row(process))
    console.print(table)


def _row(process: ProcessState) -> tuple[str, ...]:
    colour = COLOURS[process.status]
    ended = exit_text(process.last_exit) if process.last_exit is not None else ""
    pid = str(process.pid) if process.pid is not None else "-"
    return process.name, f"[{colour}]{process.status}[/]", pid, str(process.port), str(process.restarts), ended
