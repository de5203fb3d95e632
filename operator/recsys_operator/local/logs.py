"""The logs of a local system: the latest lines, and those that come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.2


def log_files(folder: Path, name: str | None) -> list[Path]:
    """The logs in ``folder``, or the one called ``name``.

    Raises:
        FileNotFoundError: there is none; the message names those that exist.
    """
    present = sorted(folder.glob("*.log"))
    chosen = [path for path in present if name is None or path.stem == name]
    if not chosen:
        known = ", ".join(path.stem for path in present)
        wanted = f"no log called {name}; there are {known}" if present else "no logs yet"
        raise FileNotFoundError(f"{folder}: {wanted}")
    return chosen


def tail(paths: Sequence[Path], count: int) -> Iterator[tuple[str, str]]:
    """(log, line) of the last ``count`` lines of each file."""
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=count):
                yield path.stem, line.rstrip("\n")


def follow(paths: Sequence[Path], count: int) -> Iterator[tuple[str, str]]:
    """As ``tail``, and then every line that is added, without end."""
    files: dict[str, IO[str]] = {}
    try:
        for path in paths:
            files[path.stem] = path.open(encoding="utf-8", errors="replace")
            for line in deque(files[path.stem], maxlen=count):
                yield path.stem, line.rstrip("\n")
        while True:
            time.sleep(POLL_SECONDS)
            for name, file in files.items():
                for line in file:
                    yield name, line.rstrip("\n")
    finally:
        for file in files.values():
            file.close()
