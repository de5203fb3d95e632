"""Carries a plan out. One child that the API server refuses does not keep the others from theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import groupby

from recsys_operator.components.desired import wave
from recsys_operator.components.manifest import ChildKey, Manifest, kind_of
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile.child_cache import ChildCache, object_key, resource_version, system_of
from recsys_operator.reconcile.cluster_api import ApiRefused, ClusterApi
from recsys_operator.reconcile.conditions import Refused
from recsys_operator.reconcile.kinds import Path, path_of
from recsys_operator.reconcile.live_fields import live_part
from recsys_operator.reconcile.plan import APPLIED, Applied, Apply, Plan, Why, is_ours, owner_of
from recsys_operator.reconcile.work_queue import Key

_log = logging.getLogger(__name__)

_MADE_ANEW = frozenset({"Service", "NetworkPolicy", "PodDisruptionBudget", "Role", "RoleBinding", "Ingress"})


@dataclass(slots=True)
class Outcome:
    """What came of a plan. ``repaired``: children that somebody else had deleted or changed."""

    applied: int = 0
    deleted: int = 0
    repaired: list[ChildKey] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Applier:
    """Remembers what it applied, to tell drift from another notation of the same."""

    def __init__(self, api: ClusterApi, cache: ChildCache, metrics: Metrics) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._applied: dict[Key, dict[ChildKey, Applied]] = {}

    def applied(self, system: Key) -> Mapping[ChildKey, Applied]:
        return self._applied.get(system, {})

    def forget(self, system: Key) -> None:
        self._applied.pop(system, None)

    async def execute(self, system: Key, owner_uid: str, plan: Plan) -> Outcome:
        """One wave after the other, those of a wave at once: what a turn takes is round trips more than anything.

        Raises:
            ApiUnavailable: the API server is away; what was done is done, the rest comes with the next turn.
        """
        outcome = Outcome()
        for _, group in groupby(plan.applies, key=lambda one: wave(one.key.kind)):
            work = (self._apply(system, owner_uid, one, outcome) for one in group)
            ends = await asyncio.gather(*work, return_exceptions=True)
            for end in ends:  # all of them have ended: nothing is written behind the next turn's back
                if isinstance(end, BaseException):
                    raise end
        for child in plan.deletes:
            await self._delete(system, child, outcome)
        return outcome

    async def _apply(self, system: Key, owner_uid: str, one: Apply, outcome: Outcome) -> None:
        before = self._cache.get(system, object_key(one.manifest))
        try:
            live = await (self._api.apply(one.manifest) if before else self._make(system, owner_uid, one))
        except ApiRefused as refused:
            _log.warning("child refused", extra={"system": str(system), "child": _text(one.key), "error": str(refused)})
            if before is not None and _stands_in_the_way(one, refused):
                await self._delete(system, before, outcome)
            outcome.refused.append(Refused(one.key, refused.reason, str(refused)))
            return
        self._cache.store(live)
        digest = one.manifest["metadata"]["annotations"][APPLIED]
        part = live_part(one.manifest, live)
        self._applied.setdefault(system, {})[one.key] = Applied(digest, None if part == one.manifest else part)
        outcome.applied += 1
        if one.why is Why.DRIFT and (before is None or resource_version(live) != resource_version(before)):
            outcome.repaired.append(one.key)
            self._metrics.drift_repairs.labels(one.key.kind).inc()
        _log.info("child applied", extra={"system": str(system), "child": _text(one.key), "why": one.why.value})

    async def _make(self, system: Key, owner_uid: str, one: Apply) -> Manifest:
        """Server-side apply alone would take any object of the name for ours."""
        try:
            return await self._api.make(one.manifest)
        except ApiRefused as refused:
            if refused.status != HTTPStatus.CONFLICT:
                raise
        live = await self._api.get(path_of(one.manifest))
        if live is not None and not is_ours(live, system.name, owner_uid):
            raise ApiRefused(
                HTTPStatus.CONFLICT,
                "NameTaken",
                f"a {one.key.kind} named {one.key.name} is there already and belongs to {_holder(live)}: "
                "rename or delete it, or give the RecommenderSystem another name",
            )
        return await self._api.apply(one.manifest)  # ours, and not seen yet; or gone again

    async def _delete(self, system: Key, child: Manifest, outcome: Outcome) -> None:
        metadata = child["metadata"]
        path = Path(kind_of(child), metadata["namespace"], metadata["name"])
        key = ChildKey(path.kind.group, path.kind.kind, path.name)
        try:
            await self._api.delete(path, metadata["uid"])
        except ApiRefused as refused:
            outcome.refused.append(Refused(key, refused.reason, str(refused)))
            return
        self._applied.get(system, {}).pop(key, None)
        outcome.deleted += 1
        _log.info("child deleted", extra={"system": str(system), "child": _text(key), "owner": owner_of(child)})


def _stands_in_the_way(one: Apply, refused: ApiRefused) -> bool:
    """Somebody took a place in a list that we need, such as a port's name: the two cannot be merged, ours is made anew.

    Only for kinds that hold neither data nor pods.
    """
    return one.why is Why.DRIFT and refused.status == 422 and one.key.kind in _MADE_ANEW


def _holder(live: Manifest) -> str:
    system = system_of(live)
    return "somebody else" if system is None else f"RecommenderSystem {system.name}"


def _text(key: ChildKey) -> str:
    return f"{key.kind}/{key.name}"
