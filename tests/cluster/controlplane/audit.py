"""What was written to the API server, by whom and when, from its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changed something. ``at``: when it was answered, in seconds since 1970."""

    at: float
    user: str
    verb: str
    resource: str
    namespace: str
    name: str


def writes(audit_log: Path, user: str = "") -> Iterator[Write]:
    """The successful ones, oldest first; those of ``user`` alone where it is given."""
    with audit_log.open(encoding="utf-8") as lines:
        for line in lines:
            if user not in line:
                continue
            event = json.loads(line)
            about = event.get("objectRef") or {}
            is_dry_run = "dryRun=" in event["requestURI"]
            if is_dry_run or event["responseStatus"]["code"] >= 300 or user not in ("", event["user"]["username"]):
                continue
            yield Write(
                at=datetime.fromisoformat(event["stageTimestamp"].replace("Z", "+00:00")).timestamp(),
                user=event["user"]["username"],
                verb=event["verb"],
                resource=about.get("resource", ""),
                namespace=about.get("namespace", ""),
                name=about.get("name", ""),
            )
