"""kopf's handlers: each event is put into the cache and makes its system due. Nothing is decided here.

The indexing functions feed the cache: kopf calls them for every object of the first lists before it lets any other
handler run, so that no system is reconciled against half a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kopf

from recsys_operator.components.labels import MANAGED_BY, MANAGER, SYSTEM
from recsys_operator.components.manifest import ApiKind, Manifest
from recsys_operator.reconcile.child_cache import ChildCache, is_child, system_of
from recsys_operator.reconcile.kinds import (
    CHILD_KINDS,
    CONFIG_MAP,
    OPTIONAL_CHILD_KINDS,
    POD,
    SYSTEM_KIND,
    plural,
)
from recsys_operator.reconcile.references import References
from recsys_operator.reconcile.work_queue import Key

WATCHED_CHILDREN = tuple(kind for kind in (*CHILD_KINDS, *OPTIONAL_CHILD_KINDS) if kind != CONFIG_MAP)
"""ConfigMaps apart: users' own are watched too."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what. ``mark`` makes a system due, ``mark_calmly`` so that a burst of events gives one turn.

    ``wrote``: whether a resource is as we left it ourselves. ``relisted``: a watch had to begin anew, which tells of no
    deletion in between.
    """

    mark: Callable[[Key], None]
    mark_calmly: Callable[[Key], None]
    wrote: Callable[[Manifest], bool]
    relisted: Callable[[], None]


def registry(cache: ChildCache, references: References, listeners: Listeners) -> kopf.OperatorRegistry:
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found, id="login")(_login)
    _watch_systems(found, listeners)
    for kind in (*WATCHED_CHILDREN, POD):
        _watch_children(found, kind, cache, listeners)
    _watch_config_maps(found, cache, references, listeners)
    return found


def configure(settings: kopf.OperatorSettings) -> None:
    """No peering, no events of kopf's own, no annotation or finalizer; watches that end and begin anew in time."""
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.networking.error_backoffs = [0.2, 0.5, 1, 1, 2, 2, 2, 2]  # an API server that is back is found soon
    settings.networking.request_timeout = 60
    settings.scanning.disabled = True  # see run.py
    settings.persistence.diffbase_storage = _NoState()
    settings.persistence.progress_storage = _NoProgress()
    for kind in WATCHED_CHILDREN:
        settings.watching.label_selectors[_selector(kind)] = f"{MANAGED_BY}={MANAGER}"
    settings.watching.label_selectors[_selector(POD)] = SYSTEM


class _NoState(kopf.DiffBaseStorage):
    """kopf would copy every object of every event, for handlers of changes, of which we have none."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """As there are no handlers that could be half done."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _login(**given: Any) -> kopf.ConnectionInfo | None:
    """As the requests of our own: the pod's service account, or the kubeconfig where this is no pod."""
    return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)


def _watch_systems(found: kopf.OperatorRegistry, listeners: Listeners) -> None:
    @kopf.on.event(*_selector(SYSTEM_KIND), registry=found, id="system")
    async def system_changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        plain = _plain(body, SYSTEM_KIND)
        if type == "DELETED" or not listeners.wrote(plain):
            listeners.mark(Key(plain["metadata"]["namespace"], plain["metadata"]["name"]))


def _watch_children(found: kopf.OperatorRegistry, kind: ApiKind, cache: ChildCache, listeners: Listeners) -> None:
    @kopf.index(*_selector(kind), registry=found, id=f"cache-{plural(kind)}")
    async def seen(body: kopf.Body, **_: Any) -> None:
        cache.store(_plain(body, kind))

    @kopf.on.event(*_selector(kind), registry=found, id=plural(kind))
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        _child_changed(type, _plain(body, kind), cache, listeners)


def _watch_config_maps(
    found: kopf.OperatorRegistry, cache: ChildCache, references: References, listeners: Listeners
) -> None:
    @kopf.index(*_selector(CONFIG_MAP), registry=found, id="cache-configmaps")
    async def seen(body: kopf.Body, **_: Any) -> None:
        plain = _plain(body, CONFIG_MAP)
        if is_child(plain):
            cache.store(plain)

    @kopf.on.event(*_selector(CONFIG_MAP), registry=found, id="configmaps")
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:
        plain = _plain(body, CONFIG_MAP)
        if is_child(plain):
            _child_changed(type, plain, cache, listeners)
        elif type is not None:
            for key in references.readers(plain["metadata"]["namespace"], plain["metadata"]["name"]):
                listeners.mark(key)


def _child_changed(type_: str | None, body: Manifest, cache: ChildCache, listeners: Listeners) -> None:
    if type_ == "DELETED":
        cache.remove(body)
    elif type_ is None:
        listeners.relisted()
    system = system_of(body)
    if system is not None:
        (listeners.mark if type_ == "DELETED" else listeners.mark_calmly)(system)


def _plain(body: kopf.Body, kind: ApiKind) -> Manifest:
    """The items of a list come without their kind."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, **body}


def _selector(kind: ApiKind) -> tuple[str, str, str]:
    return kind.group, kind.version, plural(kind)
