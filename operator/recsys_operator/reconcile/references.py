"""Which users' ConfigMaps a system reads: an event of one of them makes the systems that read it due."""

from __future__ import annotations

from collections.abc import Iterable

from recsys_operator.reconcile.work_queue import Key


class References:
    def __init__(self) -> None:
        self._names: dict[Key, frozenset[str]] = {}

    def remember(self, system: Key, names: Iterable[str]) -> None:
        self._names[system] = frozenset(names)

    def forget(self, system: Key) -> None:
        self._names.pop(system, None)

    def readers(self, namespace: str, name: str) -> list[Key]:
        return [key for key, names in self._names.items() if key.namespace == namespace and name in names]
