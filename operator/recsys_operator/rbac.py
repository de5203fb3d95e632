"""The operator's rights, from the table of its kinds: one list of rules for a ClusterRole and for Roles.

No verb on secrets, none on pods but looking, no ``escalate`` and no ``bind``: what it grants to a gateway's account it
holds itself, which the API server checks.
"""

from __future__ import annotations

from recsys_operator.components.gateway_account import RULES as GATEWAY_RULES
from recsys_operator.components.manifest import ApiKind, Manifest
from recsys_operator.reconcile.kinds import (
    CHILD_KINDS,
    EVENT,
    LEASE,
    OPTIONAL_CHILD_KINDS,
    POD,
    SYSTEM_KIND,
    plural,
)

LOOK = ["get", "list", "watch"]
WRITE = ["create", "patch", "delete"]
"""Server-side apply is a patch, of what is not there yet a create too."""
KEPT = frozenset({"PersistentVolumeClaim"})
"""Never deleted by the operator."""


def rules() -> list[Manifest]:
    """For each namespace that is served."""
    return [
        {"apiGroups": [SYSTEM_KIND.group], "resources": [plural(SYSTEM_KIND)], "verbs": LOOK},
        {"apiGroups": [SYSTEM_KIND.group], "resources": [f"{plural(SYSTEM_KIND)}/status"], "verbs": ["update"]},
        *_child_rules(),
        {"apiGroups": [""], "resources": [plural(POD)], "verbs": LOOK},
        {"apiGroups": [""], "resources": [plural(EVENT)], "verbs": ["list", "create"]},
        *(dict(rule) for rule in GATEWAY_RULES),
    ]


def lease_rules(name: str) -> list[Manifest]:
    """Where the operator runs. A create cannot be held to a name."""
    group, leases = LEASE.group, plural(LEASE)
    return [
        {"apiGroups": [group], "resources": [leases], "verbs": ["create"]},
        {"apiGroups": [group], "resources": [leases], "resourceNames": [name], "verbs": ["get", "update"]},
    ]


def _child_rules() -> list[Manifest]:
    kinds = (CHILD_KINDS | OPTIONAL_CHILD_KINDS).keys()
    kept = [kind for kind in kinds if kind.kind in KEPT]
    others = [kind for kind in kinds if kind.kind not in KEPT]
    return [*_by_group(others, LOOK + WRITE), *_by_group(kept, [*LOOK, "create", "patch"])]


def _by_group(kinds: list[ApiKind], verbs: list[str]) -> list[Manifest]:
    groups: dict[str, list[str]] = {}
    for kind in kinds:
        groups.setdefault(kind.group, []).append(plural(kind))
    return [{"apiGroups": [group], "resources": sorted(names), "verbs": verbs} for group, names in groups.items()]
