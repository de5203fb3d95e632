"""What of a live object speaks to a manifest: the live values of just the fields that the manifest sets.

Fields that others own, defaults of the API server and status are left out, so a difference is a difference in what we
asked for.
"""

from __future__ import annotations

from typing import Any

from recsys_operator.components.manifest import Manifest

_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists of the built-in kinds whose items several owners may share; every other list has one owner as a whole."""
_PORT_KEYS = {"Service": ("port", "protocol"), "": ("containerPort", "protocol")}


def live_part(manifest: Manifest, live: Manifest) -> Manifest:
    """The part of ``live`` that ``manifest`` speaks of; equal to it where nothing differs in notation or in value."""
    return {
        name: _part(wanted, live[name], name, str(manifest.get("kind")))
        for name, wanted in manifest.items()
        if name in live
    }


def _part(wanted: Any, live: Any, name: str, kind: str) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: _part(value, live[key], key, kind) for key, value in wanted.items() if key in live}
    if isinstance(wanted, list) and isinstance(live, list):
        keys = _merge_keys(name, kind)
        if keys and _tell_apart(wanted, keys) and _tell_apart(live, keys):
            return _shared_items(wanted, live, keys, name, kind)
        return _whole_list(wanted, live, name, kind)
    return live


def _merge_keys(name: str, kind: str) -> tuple[str, ...] | None:
    if name == "ports" and kind != "NetworkPolicy":
        return _PORT_KEYS.get(kind, _PORT_KEYS[""])
    return _MERGE_KEYS.get(name)


def _shared_items(wanted: list[Any], live: list[Any], keys: tuple[str, ...], name: str, kind: str) -> list[Any]:
    """The live items that have the identity of wanted ones, in the order of the wanted."""
    by_identity = {_identity(item, keys): item for item in live}
    return [
        _part(item, by_identity[_identity(item, keys)], name, kind)
        for item in wanted
        if _identity(item, keys) in by_identity
    ]


def _tell_apart(items: list[Any], keys: tuple[str, ...]) -> bool:
    """A kind of somebody's own may use such a name for a list of anything."""
    return all(isinstance(item, dict) for item in items) and len({_identity(item, keys) for item in items}) == len(
        items
    )


def _identity(item: Manifest, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(repr(item.get(key, "TCP" if key == "protocol" else None)) for key in keys)


def _whole_list(wanted: list[Any], live: list[Any], name: str, kind: str) -> list[Any]:
    """Item by item where the lengths agree, since the API server may add defaults inside; else the list as it is."""
    if len(wanted) != len(live):
        return live
    return [_part(one, other, name, kind) for one, other in zip(wanted, live, strict=True)]
