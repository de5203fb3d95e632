"""Kubernetes Events: what a person wants to read under ``kubectl describe``, told once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from recsys_operator.api.status import (
    CanaryStage,
    Condition,
    ConditionStatus,
    ConditionType,
    RecommenderSystemStatus,
)
from recsys_operator.components.labels import MANAGER
from recsys_operator.components.manifest import ChildKey, Manifest
from recsys_operator.reconcile.cluster_api import ApiRefused, ApiUnavailable, ClusterApi
from recsys_operator.reconcile.kinds import EVENT, Path

_log = logging.getLogger(__name__)

_MESSAGE_LIMIT = 1000
"""The API server takes 1,024 bytes."""


class Announcement(NamedTuple):
    reason: str
    message: str
    is_warning: bool = False


def of_change(before: RecommenderSystemStatus | None, after: RecommenderSystemStatus) -> list[Announcement]:
    """Pure: what the step from one status to the next is worth telling. A status that stays tells nothing twice."""
    old = before or RecommenderSystemStatus()
    found: list[Announcement] = []
    if old.observed_generation is None:
        found.append(Announcement("Created", "taken up for the first time"))
    found += _ready(old.conditions, after.conditions)
    found += _canaries(old, after)
    return found


def of_repairs(repaired: Sequence[ChildKey]) -> list[Announcement]:
    if not repaired:
        return []
    names = ", ".join(f"{key.kind} {key.name}" for key in repaired[:5])
    more = f" and {len(repaired) - 5} more" if len(repaired) > 5 else ""
    return [Announcement("DriftRepaired", f"somebody else had changed or deleted: {names}{more}; put right")]


def _ready(before: Iterable[Condition], after: Iterable[Condition]) -> list[Announcement]:
    old, new = _by_type(before), _by_type(after)
    ready = new.get(ConditionType.READY)
    if ready is None:
        return []
    was = old.get(ConditionType.READY)
    if ready.status is ConditionStatus.TRUE:
        return [] if was is not None and was.status is ready.status else [Announcement("Ready", "every part is ready")]
    progressing = new.get(ConditionType.PROGRESSING)
    is_stuck = progressing is not None and progressing.status is ConditionStatus.FALSE
    is_news = was is None or was.status is not ready.status or was.reason != ready.reason
    return [Announcement(ready.reason, ready.message, is_warning=True)] if is_stuck and is_news else []


def _canaries(before: RecommenderSystemStatus, after: RecommenderSystemStatus) -> list[Announcement]:
    old = {(one.role, one.digest): one.stage for one in before.canaries}
    return [
        Announcement(
            f"Canary{one.stage.value}",
            f"canary of the {one.role.value} model {one.message or 'on trial'}",
            is_warning=one.stage is CanaryStage.ABORTED,
        )
        for one in after.canaries
        if old.get((one.role, one.digest)) is not one.stage
    ]


def _by_type(conditions: Iterable[Condition]) -> Mapping[ConditionType, Condition]:
    return {condition.type: condition for condition in conditions}


async def publish(api: ClusterApi, system: Manifest, announcements: Iterable[Announcement]) -> None:
    """An Event that cannot be written is logged and let go: nothing rests on it."""
    for one in announcements:
        try:
            await api.create(Path(EVENT, system["metadata"]["namespace"]), _event(system, one, datetime.now(UTC)))
        except (ApiRefused, ApiUnavailable) as error:
            _log.warning("event not written", extra={"reason": one.reason, "error": str(error)})


def _event(system: Manifest, one: Announcement, now: datetime) -> Manifest:
    metadata, at = system["metadata"], now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    message = one.message if len(one.message) <= _MESSAGE_LIMIT else one.message[: _MESSAGE_LIMIT - 1] + "…"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{uuid4().hex[:16]}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": system["apiVersion"],
            "kind": system["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion"),
        },
        "reason": one.reason,
        "message": message,
        "type": "Warning" if one.is_warning else "Normal",
        "action": "Reconcile",
        "eventTime": at,
        "firstTimestamp": at[:19] + "Z",
        "lastTimestamp": at[:19] + "Z",
        "count": 1,
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
        "source": {"component": MANAGER},
    }
