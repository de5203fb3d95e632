"""Starting and ending one process so that nothing is left behind, whatever ends its parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

STOP_SECONDS = 4.0
PR_SET_PDEATHSIG = 1


async def spawn(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> asyncio.subprocess.Process:
    """Start ``argv``. It dies with this process, and stands in a process group of its own.

    Of its own, since Ctrl-C in a terminal reaches a whole group: here the supervisor alone, which stops them in order.
    Call it from the main thread: the kernel watches the thread that starts a child.
    """
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **environment},
        preexec_fn=die_with(os.getpid()),
        process_group=0,
    )


async def stop_group(process: asyncio.subprocess.Process, ask: signal.Signals = signal.SIGTERM) -> None:
    """End ``process`` and its group: asked first, killed after a few seconds."""
    if process.returncode is not None:
        return
    _signal_group(process.pid, ask)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()


def die_with(parent: int) -> Callable[[], None]:
    """What a child does between fork and exec, so that the kernel kills it when ``parent`` dies, however that happens.

    Elsewhere than on Linux a killed supervisor leaves its children.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above.
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def exit_text(code: int) -> str:
    """``exit code 1`` or ``signal SIGKILL``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
