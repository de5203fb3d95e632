"""Pure: what is wanted against what is there -> what to apply and what to delete.

An object is applied when it is absent, when what we want of it changed, or when somebody changed what we asked for.
Nothing else is written: a system at rest costs no request. The digest of what was last applied stands in an
annotation, which tells a field that we no longer want from one that was never ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from recsys_operator.components.labels import DOMAIN, MANAGED_BY, MANAGER, SYSTEM, digest
from recsys_operator.components.manifest import ChildKey, Manifest, key_of
from recsys_operator.reconcile.live_fields import live_part

APPLIED = f"{DOMAIN}/applied"
"""Annotation of a child: digest of the manifest that was applied last."""
NEVER_DELETED = frozenset({"PersistentVolumeClaim"})
"""Data: kept even where the spec no longer asks for it. A claim with an owner goes with the whole resource only."""
UNMANAGED = frozenset({"Pod"})
"""What the watches tell beside the children themselves."""


class Why(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Apply:
    """``manifest`` is complete: with the annotation that carries its digest."""

    manifest: Manifest
    why: Why

    @property
    def key(self) -> ChildKey:
        return key_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Applied:
    """What our last apply of a child left: its digest, and how the API server writes what we asked for.

    ``live`` None: just as we do.
    """

    digest: str
    live: Manifest | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Applies in the order of ``desired``; deletes after them."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Manifest, ...] = ()


def plan(
    desired: Sequence[Manifest], children: Iterable[Manifest], owner_uid: str, applied: Mapping[ChildKey, Applied]
) -> Plan:
    """``desired``: each with its digest. ``children``: live objects that carry the system's labels.

    ``applied``: of this process's own applies.
    """
    live = {key_of(child): child for child in children if child["kind"] not in UNMANAGED}
    applies = (_apply(manifest, live.get(key_of(manifest)), applied.get(key_of(manifest))) for manifest in desired)
    keys = {key_of(manifest) for manifest in desired}
    return Plan(
        applies=tuple(one for one in applies if one is not None),
        deletes=tuple(child for key, child in live.items() if key not in keys and may_delete(child, owner_uid)),
    )


def with_digest(manifest: Manifest) -> Manifest:
    """Without nulls, which server-side apply drops, and with the digest of the rest."""
    clean: Manifest = _without_nulls(manifest)
    metadata = clean["metadata"]
    annotations = {**metadata.get("annotations", {}), APPLIED: digest(clean)}
    return {**clean, "metadata": {**metadata, "annotations": annotations}}


def may_delete(child: Manifest, owner_uid: str) -> bool:
    """Only what the resource's own UID owns, never a claim, and nothing that is on its way out."""
    return (
        owner_of(child) == owner_uid
        and child["kind"] not in NEVER_DELETED
        and "deletionTimestamp" not in child["metadata"]
    )


def owner_of(child: Manifest) -> str | None:
    """UID of the object that controls ``child``."""
    references = child["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def is_ours(live: Manifest, system: str, owner_uid: str) -> bool:
    """Whether an object that has the name of a child may be taken: our own, or retained from an earlier resource."""
    labels = live["metadata"].get("labels") or {}
    if owner_of(live) == owner_uid:
        return True
    if labels.get(SYSTEM, system) != system:
        return False
    return labels.get(MANAGED_BY) == MANAGER or APPLIED in (live["metadata"].get("annotations") or {})


def _apply(manifest: Manifest, live: Manifest | None, applied: Applied | None) -> Apply | None:
    wanted = manifest["metadata"]["annotations"][APPLIED]
    is_known = applied is not None and applied.digest == wanted
    if live is None:
        return Apply(manifest, Why.DRIFT if is_known else Why.CREATE)
    if "deletionTimestamp" in live["metadata"]:
        return None  # its end is an event of its own
    there = (live["metadata"].get("annotations") or {}).get(APPLIED)
    part = live_part(manifest, live)
    if part == manifest or (applied is not None and is_known and part == applied.live):
        return None
    return Apply(manifest, Why.DRIFT if wanted == there or is_known else Why.CHANGE)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value
