"""Keys and tokens for what the gateway calls, from a file or from the environment. A file is read again: a secret that
is mounted into a pod changes there. Nothing of them gets into a log."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


def secret(variable: str | None, file: Path | None) -> str | None:
    """What ``file`` holds, else what the environment's ``variable`` does; None where neither has anything."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            return None
    return os.environ.get(variable) or None if variable else None


async def watch_secret(file: Path, changed: Callable[[str], None]) -> None:
    """Call ``changed`` with what ``file`` holds, now and on every change; a file that is away changes nothing."""
    known: str | None = None
    missing = False
    while True:
        found = await asyncio.to_thread(secret, None, file)
        if found is None and not missing:
            log.warning("%s: no key can be read from it; the last one stays", file)
        missing = found is None
        if found is not None and found != known:
            known = found
            changed(found)
        await asyncio.sleep(POLL_SECONDS)
