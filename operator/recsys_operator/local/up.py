"""`recsys up`: in the foreground, or as a process of its own with --detach."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from recsys_operator.api.recommender_system import ResourceError
from recsys_operator.ask import AskError, ask, show
from recsys_operator.local.catalog_job import CatalogError
from recsys_operator.local.child import StartError
from recsys_operator.local.display import StartDisplay
from recsys_operator.local.plan import LocalPlan, reachable
from recsys_operator.local.ports import PortInUseError, held
from recsys_operator.local.prepare import UpOptions, prepare, read_system
from recsys_operator.local.run import LocalRun
from recsys_operator.local.state import DataDirectory, DataDirectoryError, LocalState, Lock
from recsys_operator.program import NAME, program

POLL_SECONDS = 0.1
UP_LOG = "up"
MOST_PORT = 65_535
SHOP_QUESTION = "a light jacket for rainy hikes"
ANY_QUESTION = "something for a rainy evening"

UpError = (ResourceError, PortInUseError, DataDirectoryError, StartError, CatalogError)
"""What `up` can fail with; each says in a line or two what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask once the system is ready, and for which customer."""

    text: str
    user_id: str | None = None

    @property
    def request(self) -> dict[str, object]:
        return {"query": self.text, **({"user_id": self.user_id} if self.user_id else {})}


def up(options: UpOptions, directory: DataDirectory, question: Question | None, console: Console) -> None:
    """Start the system, serve until a signal, stop it.

    Raises:
        one of UpError.
    """
    system = read_system(options)
    with Lock(directory):
        url = f"http://{reachable(options.host)}:{options.port}"
        example = SHOP_QUESTION if system.spec.catalog.items.uri.startswith("sample://") else ANY_QUESTION
        state = LocalState(pid=os.getpid(), system=system.metadata.name, url=url, example=example)
        directory.write(state)
        try:
            with _gateway_port(options) as holder:
                plan = prepare(system, options, directory)
                _serve(plan, directory, state, question, console, holder.close)
        except UpError as error:
            directory.write(state.model_copy(update={"error": str(error)}))
            raise
        directory.clear()
    console.print("Stopped.", highlight=False)


@contextmanager
def _gateway_port(options: UpOptions) -> Iterator[socket.socket]:
    """The gateway's port, held while everything else starts: another `recsys up` is told at once, not at the end."""
    with ExitStack() as stack:
        try:
            holder = stack.enter_context(held(options.host, options.port))
        except PortInUseError as error:
            other = options.port + 1 if options.port < MOST_PORT else options.port - 1
            raise PortInUseError(f"{error}; choose another: {program()} up --port {other}") from None
        yield holder


def _serve(
    plan: LocalPlan,
    directory: DataDirectory,
    state: LocalState,
    question: Question | None,
    console: Console,
    free_port: Callable[[], None],
) -> None:
    console.print(f"[bold]{escape(state.system)}[/] in {escape(str(directory.path))}", highlight=False)
    _show_notes(plan.notes, console)
    display = StartDisplay(console)

    def ready(reached: LocalState) -> None:
        display.stop()
        if question is not None:
            answer(question, reached.url, console)
        console.print(_invitation(reached, directory), highlight=False, soft_wrap=True)
        console.print("Ctrl-C stops it.", style="dim")

    told = {"models": plan.models, "vector_store": plan.vector_store, "notes": plan.notes}
    started = state.model_copy(update=told)
    try:
        display.start()
        asyncio.run(LocalRun(plan, directory, started, display.show, free_port, ready).run())
    finally:
        display.stop()


def answer(question: Question, url: str, console: Console) -> None:
    """Ask and show; a refusal is shown too: the system runs on."""
    asked_by = f", customer {question.user_id}" if question.user_id else ""
    console.print(f"\n[bold]{escape(question.text)}[/]{escape(asked_by)}\n", highlight=False)
    try:
        show(console, ask(url, question.request))
    except AskError as error:
        console.print(f"[yellow]{escape(str(error))}[/]", highlight=False)


def _show_notes(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(escape(note), style="dim", highlight=False, soft_wrap=True)


def _invitation(state: LocalState, directory: DataDirectory) -> str:
    recsys = escape(program())
    where = "" if directory.path == Path(".recsys") else escape(f" --data-dir {shlex.quote(str(directory.path))}")
    body = json.dumps({"query": state.example}, ensure_ascii=False)
    return (
        f"\nServing on [bold]{state.url}[/] · try in another shell:\n"
        f'  {recsys} ask "{state.example}"{where}\n'
        f"  curl -s {state.url}/v1/recommendations -H 'content-type: application/json' -d '{body}'\n"
        f"  {recsys} status{where}\n"
    )


def detach(options: UpOptions, directory: DataDirectory, console: Console) -> None:
    """Run `recsys up` as a process of its own and return when it is ready.

    Raises:
        StartError: it ended before that; the message is its own.
    """
    # Makes the folder, and says in one line why that cannot be done.
    with Lock(directory):
        pass
    with directory.log(UP_LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *_program_again(), "up", *_arguments(options, directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    display = StartDisplay(console)
    try:
        display.start()
        state = _wait_until_ready(process, directory, display.show)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    finally:
        display.stop()
    _show_notes(state.notes, console)
    console.print(_invitation(state, directory), highlight=False, soft_wrap=True)


def _program_again() -> list[str]:
    """This program for Python to run; as the user typed it, since the messages of the new process repeat that."""
    given = Path(sys.argv[0])
    return [str(given)] if given.name == NAME and given.is_file() else ["-m", "recsys_operator.cli"]


def _arguments(options: UpOptions, directory: DataDirectory) -> list[str]:
    arguments = ["--file", str(options.file), "--host", options.host, "--port", str(options.port)]
    arguments += ["--data-dir", str(directory.path), "--on-error", options.on_error]
    for name, value in (("--base", options.base), ("--tuned", options.tuned)):
        arguments += [] if value is None else [name, value]
    return arguments


def _wait_until_ready(
    process: subprocess.Popen[bytes], directory: DataDirectory, shown: Callable[[LocalState], None]
) -> LocalState:
    while process.poll() is None:
        state = directory.last_state()
        if state is not None and state.pid == process.pid:
            shown(state)
            if state.ready:
                return state
        time.sleep(POLL_SECONDS)
    failed = directory.last_state()
    if failed is not None and failed.pid == process.pid and failed.error:
        raise StartError(failed.error)
    log = directory.log(UP_LOG)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise StartError("\n".join(said[-5:]) or f"recsys up ended with exit code {process.returncode} (log: {log})")
