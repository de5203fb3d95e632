"""The configuration's file is watched: what changes in it applies without a restart and without a lost call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from recsys_gateway.config import GatewayConfig, load_config
from recsys_gateway.document import ConfigurationError

POLL_SECONDS = 1.0

log = logging.getLogger(__name__)


async def watch_config(path: Path, running: GatewayConfig, apply: Callable[[GatewayConfig], None]) -> None:
    """Call ``apply`` with what differs from ``running``, which was read some time ago, and with each change after that.

    A file that cannot be used leaves things as they are, and is told once. The content is compared, not the time of
    change: a mounted ConfigMap is a link whose target is swapped.
    """
    known: bytes | None = None
    while True:
        await asyncio.sleep(POLL_SECONDS)
        content = await asyncio.to_thread(_content, path)
        if content is None or content == known:
            continue
        known = content
        try:
            config = await asyncio.to_thread(load_config, path)
            if config == running:
                continue
            apply(config)
            running = config
        except (ConfigurationError, ValueError) as error:
            problem = {"problem": str(error)}
            log.error("the new configuration is not used; the last one stays", extra=problem)  # noqa: TRY400  a file's fault
        else:
            log.info("configuration applied", extra={"file": str(path)})


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None  # being replaced at this moment
