"""What the watches told of the children of all systems, and of their pods: read by reconciling, without a request.

Fed by kopf's events and by the answers to our own writes, whichever is newer: so a reconcile that follows a write at
once does not see the world before it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recsys_operator.components.labels import MANAGED_BY, MANAGER, SYSTEM
from recsys_operator.components.manifest import Manifest, key_of, kind_of
from recsys_operator.reconcile.kinds import SYSTEM_KIND
from recsys_operator.reconcile.work_queue import Key

INSTANCE = "app.kubernetes.io/instance"
_REMEMBERED_DELETIONS = 10_000


class ObjectKey(NamedTuple):
    """An object of the cluster."""

    group: str
    kind: str
    namespace: str
    name: str


def object_key(body: Manifest) -> ObjectKey:
    child = key_of(body)
    return ObjectKey(child.group, child.kind, str(body["metadata"].get("namespace", "")), child.name)


def system_of(body: Manifest) -> Key | None:
    """The system that owns ``body``, else the one whose label it carries: anybody may change a label."""
    labels = body["metadata"].get("labels") or {}
    instance = labels.get(INSTANCE) if labels.get(MANAGED_BY) == MANAGER else None
    name = _owner(body) or instance or labels.get(SYSTEM)
    return Key(body["metadata"].get("namespace", ""), name) if name else None


def _owner(body: Manifest) -> str | None:
    owners = body["metadata"].get("ownerReferences") or ()
    return next((one["name"] for one in owners if one.get("controller") and one.get("kind") == SYSTEM_KIND.kind), None)


def is_child(body: Manifest) -> bool:
    """Told from users' objects of the kind, even where somebody took our label off."""
    return (body["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER or _owner(body) is not None


class ChildCache:
    """Children and pods by their system."""

    def __init__(self) -> None:
        self._by_system: defaultdict[Key, dict[ObjectKey, Manifest]] = defaultdict(dict)
        self._places: dict[str, tuple[Key, ObjectKey]] = {}
        self._deleted: OrderedDict[str, int] = OrderedDict()

    def store(self, body: Manifest) -> None:
        """Unless what is here is as new."""
        system, uid, key = system_of(body), body["metadata"].get("uid", ""), object_key(body)
        if system is None or resource_version(body) <= self._deleted.get(uid, -1):
            return
        known = self.get(system, key)
        if known is not None and resource_version(body) <= resource_version(known):
            return
        if known is not None:
            self._forget(known)
        self._forget(body)  # it may have been another system's
        self._by_system[system][key] = _trimmed(body)
        self._places[uid] = system, key

    def remove(self, body: Manifest) -> None:
        """The deletion's version is remembered: an answer that was under way must not bring the object back.

        A watch calls it a deletion too when an object loses its label; with the label it comes back in a newer version.
        """
        self._deleted[body["metadata"].get("uid", "")] = resource_version(body)
        while len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        self._forget(body)

    def _forget(self, body: Manifest) -> None:
        place = self._places.pop(body["metadata"].get("uid", ""), None)
        if place is not None:
            self._by_system[place[0]].pop(place[1], None)

    def objects(self, system: Key) -> list[Manifest]:
        """Children and pods, in no order."""
        return list(self._by_system.get(system, {}).values())

    def all_objects(self) -> Iterable[tuple[Key, Manifest]]:
        return [(system, body) for system, objects in self._by_system.items() for body in objects.values()]

    def get(self, system: Key, key: ObjectKey) -> Manifest | None:
        return self._by_system.get(system, {}).get(key)


def gone(cached: Iterable[Manifest], listed: Mapping[str, str], listed_at: int) -> list[Manifest]:
    """What the cache holds although it is gone: a watch that had to begin anew is not told of deletions in between.

    ``listed``: uid -> resource version of what the API server has, as of the resource version ``listed_at``.
    """
    return [
        body for body in cached if body["metadata"].get("uid") not in listed and resource_version(body) <= listed_at
    ]


def resource_version(body: Manifest) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def _trimmed(body: Manifest) -> Manifest:
    """Without what is never read: the bookkeeping of field managers is half of many objects."""
    scale = [entry for entry in body["metadata"].get("managedFields") or () if entry.get("subresource") == "scale"]
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    if scale and kind_of(body).kind == "Deployment":
        metadata["managedFields"] = [{"manager": entry.get("manager"), "subresource": "scale"} for entry in scale]
    return {**body, "metadata": metadata}
