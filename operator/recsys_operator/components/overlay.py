"""``podTemplate`` of a resource, merged into a template that was built: as kubectl's strategic merge, without a schema.

Maps merge key by key, None takes a key away. Lists of named things (containers, volumes, variables, …) merge by name;
what has no counterpart is added at the end. Every other list, such as ``args`` or ``tolerations``, is replaced, and so
is one that has a name twice (a port for TCP and for UDP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEYS: Mapping[str, str] = {
    "hostAliases": "ip",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
}
"""What tells the members of a list apart, by the list's own name; elsewhere it is ``name``."""


def overlay(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``patch`` merged into it; neither is changed, and the result shares nothing with them."""
    merged = {key: _copy(value) for key, value in base.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if value is not None:
            merged[key] = _merge(key, base.get(key), value)
    return merged


def _merge(field: str, base: Any, patch: Any) -> Any:
    if isinstance(patch, Mapping):
        return overlay(base if isinstance(base, Mapping) else {}, patch)
    key = KEYS.get(field, "name")
    if isinstance(base, list | tuple) and base and _is_keyed(base, key) and _is_keyed(patch, key):
        return _merge_keyed(base, patch, key)
    return _copy(patch)


def _merge_keyed(base: Sequence[Mapping[str, Any]], patch: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    merged = {member[key]: _copy(member) for member in base}
    for member in patch:
        merged[member[key]] = overlay(merged.get(member[key], {}), member)
    return list(merged.values())


def _is_keyed(value: Any, key: str) -> bool:
    if not isinstance(value, list | tuple) or not all(isinstance(member, Mapping) for member in value):
        return False
    names = [member.get(key) for member in value]
    return all(isinstance(name, str | int) for name in names) and len(set(names)) == len(names)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(member) for key, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [_copy(member) for member in value]
    return value
