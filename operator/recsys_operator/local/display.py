"""What `recsys up` shows while a system starts: a line a process, a bar for the catalogue."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from recsys_operator.local.catalog_job import Progressed
from recsys_operator.local.spawning import exit_text
from recsys_operator.local.state import LocalState, ProcessState, ProcessStatus

LABELS: Mapping[str, str] = {
    "milvus": "vector store (Milvus Lite)",
    "engine-tuned": "tuned model (llama.cpp)",
    "engine-base": "base model (llama.cpp)",
    "gateway": "gateway",
}


class StartDisplay:
    """Live bars on a terminal; elsewhere one plain line for each thing that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            # The one column that gives way: a long line wraps inside it, and the others stay where they are.
            TextColumn("{task.description}", table_column=Column(overflow="fold")),
            BarColumn(bar_width=12, table_column=Column(no_wrap=True)),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._done: set[str] = set()
        self._begin = time.monotonic()
        self._restarts: dict[str, int] = {}
        self._skipped = 0

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        """Leave what is shown on the screen; stopping twice does no harm."""
        self._progress.stop()

    def show(self, state: LocalState) -> None:
        """Bring the display up to ``state``; once the system runs, a line for each process that died."""
        self._show_restarts(state)
        self._show_processes(state.processes)
        if state.catalog is not None:
            self._show_catalog(state.catalog, state)

    def _show_restarts(self, state: LocalState) -> None:
        for process in state.processes:
            if process.restarts > self._restarts.get(process.name, 0):
                ended = exit_text(process.last_exit or 0)
                self._console.print(f"{process.name} ended with {ended}; it is started again", style="yellow")
            self._restarts[process.name] = process.restarts

    def _show_catalog(self, progress: Progressed, state: LocalState) -> None:
        loaded = state.catalog_loaded
        if loaded is not None:
            self._show_line("catalogue", f"catalogue: {loaded}", 1, 1)
            self._show_skipped(state.catalog_skipped)
        elif progress.stage == "items":
            self._show_line("catalogue", "catalogue: items embedded", progress.done, progress.total, ends=False)
        else:
            self._show_line("catalogue", f"catalogue: {progress.stage} {progress.done or ''}", 0, None)

    def _show_skipped(self, lines: Sequence[str]) -> None:
        for line in lines[self._skipped :]:
            self._console.print(escape(line), style="yellow", highlight=False, soft_wrap=True)
        self._skipped = len(lines)

    def _show_processes(self, processes: Sequence[ProcessState]) -> None:
        for process in processes:
            if process.name in self._done:
                # It came up once, which is what a line says; what became of it later is told in words.
                continue
            ready = process.status is ProcessStatus.READY
            self._show_line(process.name, LABELS.get(process.name, process.name), int(ready), 1)

    def _show_line(self, key: str, label: str, done: int, total: int | None, *, ends: bool = True) -> None:
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(label, total=total)
        self._progress.update(self._tasks[key], description=escape(label), completed=done, total=total)
        if ends and done == total and key not in self._done:
            self._done.add(key)
            if not self._console.is_terminal:
                elapsed = time.monotonic() - self._begin
                self._console.print(f"{escape(label)}: ready ({elapsed:.1f} s)", highlight=False, soft_wrap=True)
