"""The command as messages name it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from recsys_operator.program import program


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "recsys"
    path.parent.mkdir()
    path.touch(mode=0o755)
    return path


def test_a_program_that_the_path_does_not_know_is_named_as_typed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == str(script)


def test_a_program_on_the_path_is_named_short(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == "recsys"


@pytest.mark.parametrize("started", ["/venv/lib/recsys_operator/cli.py", "/venv/bin/pytest", "-c"])
def test_however_else_it_was_started_it_is_recsys(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert program() == "recsys"
