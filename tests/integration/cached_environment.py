"""Servers that come from a package index, each in an environment of its own, kept under the user's cache folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def cached_environment(name: str, install: Callable[[Path], None]) -> Path:
    """The folder of ``name``; ``install`` fills it where no run before has done so to the end."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "recsys"
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            install(folder)
            (folder / "installed").touch()
    return folder
