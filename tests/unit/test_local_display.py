"""What `recsys up` shows while a system starts, on a terminal of 80 columns."""

from __future__ import annotations

import io
import re

import pytest
from recsys_operator.local.catalog_job import Progressed
from recsys_operator.local.display import StartDisplay
from recsys_operator.local.state import LocalState, ProcessState, ProcessStatus
from rich.console import Console

STATE = LocalState(pid=1, system="shop", url="http://127.0.0.1:8080")
LOADED = "366 items, 1,000 users, 19,665 events"


def process(name: str, status: ProcessStatus) -> ProcessState:
    return ProcessState(name=name, status=status)


def on_a_terminal(*states: LocalState) -> list[str]:
    """The last picture of the bars: a line for each that has one."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    display = StartDisplay(console)
    for state in states:
        display.show(state)
    display.start()
    display.stop()
    pictures = out.getvalue().split("\r")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", pictures[-1])
    return [line for line in plain.splitlines() if "0:00:0" in line or "-:--" in line]


def elsewhere(*states: LocalState) -> str:
    out = io.StringIO()
    display = StartDisplay(Console(file=out, width=80))
    for state in states:
        display.show(state)
    return out.getvalue()


@pytest.mark.parametrize("loaded", [LOADED, f"{LOADED}, 12 bad rows skipped"])
def test_the_catalogue_leaves_the_other_columns_where_they_are(loaded: str) -> None:
    catalog = Progressed(stage="items", done=366, total=366)
    ready = (process("milvus", ProcessStatus.READY),)
    lines = on_a_terminal(STATE.model_copy(update={"processes": ready, "catalog": catalog, "catalog_loaded": loaded}))
    assert len(lines) == 2
    assert all("✓" in line and "1/1" in line for line in lines)
    assert len({line.index("1/1") for line in lines}) == 1


def test_the_catalogue_fits_on_one_line() -> None:
    catalog = Progressed(stage="items", done=366, total=366)
    lines = on_a_terminal(STATE.model_copy(update={"catalog": catalog, "catalog_loaded": LOADED}))
    assert f"catalogue: {LOADED}" in lines[0]


def test_what_was_ready_is_not_shown_as_undone_when_it_is_stopped() -> None:
    was = STATE.model_copy(update={"processes": (process("milvus", ProcessStatus.READY),)})
    stopped = STATE.model_copy(update={"processes": (process("milvus", ProcessStatus.STOPPED),)})
    (line,) = on_a_terminal(was, stopped)
    assert "0/1" not in line
    assert "1/1" in line


def test_a_skipped_row_is_told_once() -> None:
    state = STATE.model_copy(
        update={
            "catalog": Progressed(stage="users", done=1),
            "catalog_loaded": "2 items, 1 bad row skipped",
            "catalog_skipped": ("skipped: items.csv:4: no id",),
        }
    )
    text = elsewhere(state, state)
    assert text.count("skipped: items.csv:4: no id") == 1
    assert "catalogue: 2 items, 1 bad row skipped: ready" in text
