"""One turn of one system: read -> observe -> desired -> plan -> apply, prune -> canaries -> status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from recsys_gateway.config import Role
from recsys_gateway.document import describe

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.api.status import CanaryStage, ConditionStatus, ConditionType, RecommenderSystemStatus
from recsys_operator.components.manifest import Manifest, key_of
from recsys_operator.components.observed import Observed
from recsys_operator.operator_metrics import Metrics
from recsys_operator.reconcile import announcements, canary_trials
from recsys_operator.reconcile.apply import Applier, Outcome
from recsys_operator.reconcile.child_cache import ChildCache, resource_version
from recsys_operator.reconcile.cluster_api import ApiRefused, ClusterApi
from recsys_operator.reconcile.conditions import Sight, Verdict, conditions, invalid_spec
from recsys_operator.reconcile.gateway_counters import CanaryWatch
from recsys_operator.reconcile.kinds import EVENT, SYSTEM_KIND, Path
from recsys_operator.reconcile.observe import ServedApis, autoscaled, config_map_digests
from recsys_operator.reconcile.plan import UNMANAGED, plan, with_digest
from recsys_operator.reconcile.problems import Problem, wants_events
from recsys_operator.reconcile.references import References
from recsys_operator.reconcile.status import CanaryRecord, readable_status, status, status_of_invalid
from recsys_operator.reconcile.work_queue import Key
from recsys_operator.reconcile.workloads import Surroundings

RESYNC_SECONDS = 300.0
"""Between two turns of a system at rest. They write nothing where nothing changed."""
LOOK_AGAIN_SECONDS = 5.0
"""While something is not ready for a reason that only events tell, which are not watched."""
REFUSED_AGAIN_SECONDS = 30.0
"""After a child was refused: a quota or a role may have been widened, which no event tells."""
_NAMESPACE_ENDS = "because it is being terminated"
"""The API server's words for a namespace that is on its way out, the system with it."""
EVENTS_AFTER_SECONDS = 3.0
"""An object's events are read once it is that old: what has just begun is not late yet."""
EVENTS_READ = 10
"""Objects whose events are read in one turn: the pods of one pool fail alike."""


@dataclass(frozen=True, slots=True)
class Components:
    """The pure builders. ``notes``: what of the spec cannot be as it is asked for, reason and message."""

    desired: Callable[[RecommenderSystem, Observed], Sequence[Manifest]]
    notes: Callable[[RecommenderSystem, Observed], Iterable[tuple[str, str]]]
    read_config_maps: Callable[[RecommenderSystem], Iterable[str]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one turn knows of its system. ``desired``: complete, each with its digest."""

    key: Key
    raw: Manifest
    system: RecommenderSystem
    before: RecommenderSystemStatus | None
    observed: Observed
    desired: Sequence[Manifest]
    canaries: Mapping[Role, CanaryRecord]


class Reconciler:
    """Is called with a key; tells in how many seconds to look again, None where the system is gone."""

    def __init__(
        self,
        api: ClusterApi,
        cache: ChildCache,
        metrics: Metrics,
        components: Components,
        apis: ServedApis,
        watch: CanaryWatch,
    ) -> None:
        self.references = References()
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._components = components
        self._apis = apis
        self._applier = Applier(api, cache, metrics)
        self._watch = watch
        self._last_turns: dict[Key, _Turn] = {}
        self._own_versions: dict[Key, int] = {}

    async def close(self) -> None:
        await self._watch.close()

    def wrote(self, system: Manifest) -> bool:
        """Whether ``system`` is as this process left it: its own writing of status is no news to it."""
        return self._own_versions.get(_key(system)) == resource_version(system)

    async def __call__(self, key: Key) -> float | None:
        started, outcome = time.monotonic(), "failed"
        try:
            outcome, again = await self._reconcile(key)
            return again
        finally:
            self._metrics.reconciles.labels(outcome).inc()
            self._metrics.reconcile_seconds.observe(time.monotonic() - started)

    async def _reconcile(self, key: Key) -> tuple[str, float | None]:
        raw = await self._api.get(Path(SYSTEM_KIND, *key))
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._forget(key)
            return "gone", None
        try:
            system = RecommenderSystem.model_validate({name: raw[name] for name in raw if name != "status"})
        except ValidationError as error:
            await self._write_invalid(raw, describe(error))
            return "invalid", RESYNC_SECONDS
        turn = await self._observe(key, raw, system)
        outcome = Outcome() if system.spec.paused else await self._apply(turn)
        if any(_NAMESPACE_ENDS in refused.message for refused in outcome.refused):
            return "gone", RESYNC_SECONDS
        again = await self._finish(turn, outcome)
        return _word(turn, outcome), again

    def _forget(self, key: Key) -> None:
        """Its children are the garbage collector's; those that stay have no owner and are found when it comes back."""
        self._applier.forget(key)
        self._watch.forget(key)
        self._last_turns.pop(key, None)
        self._own_versions.pop(key, None)
        self.references.forget(key)

    async def _observe(self, key: Key, raw: Manifest, system: RecommenderSystem) -> _Turn:
        names = frozenset(self._components.read_config_maps(system))
        self.references.remember(key, names)
        digests = await config_map_digests(self._api, key.namespace, names)
        before = readable_status(raw.get("status") or {})
        known = canary_trials.records(system, before)
        observed = Observed(
            self._apis.kinds, canary_trials.stages(known), autoscaled(self._cache.objects(key)), digests
        )
        turn = _Turn(key, raw, system, before, observed, self._desired(key, system, observed), known)
        self._last_turns[key] = turn
        return turn

    def _desired(self, key: Key, system: RecommenderSystem, observed: Observed) -> Sequence[Manifest]:
        """Built again only for another spec or other facts: most turns follow a pod that moved on."""
        last = self._last_turns.get(key)
        if last is not None and (last.system, last.observed) == (system, observed):
            return last.desired
        return [with_digest(manifest) for manifest in self._components.desired(system, observed)]

    async def _apply(self, turn: _Turn) -> Outcome:
        uid = turn.raw["metadata"]["uid"]
        wanted = plan(turn.desired, self._cache.objects(turn.key), uid, self._applier.applied(turn.key))
        return await self._applier.execute(turn.key, uid, wanted)

    async def _finish(self, turn: _Turn, outcome: Outcome) -> float:
        objects = self._cache.objects(turn.key)
        pods = [body for body in objects if body["kind"] in UNMANAGED]
        children = {key_of(body): body for body in objects if body["kind"] not in UNMANAGED}
        now = datetime.now(UTC).replace(microsecond=0)
        look = canary_trials.Look(turn.key, turn.system, list(children.values()), pods, now)
        canaries = await canary_trials.advance(turn.canaries, look, self._watch)
        sight = Sight(
            desired=turn.desired,
            children=children,
            around=Surroundings(pods, await self._events(turn.key, objects)),
            refused=outcome.refused,
            notes=[Problem(*note) for note in self._components.notes(turn.system, turn.observed)],
            is_paused=turn.system.spec.paused,
        )
        verdicts = conditions(sight)
        after = status(turn.system, turn.observed, children, verdicts, turn.before, canaries, now)
        told = announcements.of_repairs(outcome.repaired)
        await self._write_status(turn.raw, turn.before, after, told)
        again = _again(objects, verdicts, turn.canaries, canaries, self._watch.look_seconds)
        return min(again, REFUSED_AGAIN_SECONDS) if outcome.refused else again

    async def _events(self, key: Key, objects: Iterable[Manifest]) -> dict[str, list[Manifest]]:
        late = (body for body in objects if wants_events(body) and not _has_just_begun(body, datetime.now(UTC)))
        asked = [body["metadata"]["uid"] for body in late][:EVENTS_READ]
        path = Path(EVENT, key.namespace)
        answers = await asyncio.gather(
            *(self._api.list_objects(path, fieldSelector=f"involvedObject.uid={uid}") for uid in asked)
        )
        return {uid: answer.get("items") or [] for uid, answer in zip(asked, answers, strict=True)}

    async def _write_invalid(self, raw: Manifest, problems: str) -> None:
        before = raw.get("status") or {}
        line = "; ".join(problems.splitlines())
        now = datetime.now(UTC).replace(microsecond=0)
        after = status_of_invalid(before, raw["metadata"].get("generation"), invalid_spec(line), now)
        await self._write_status(raw, readable_status(before), after, [])

    async def _write_status(
        self,
        raw: Manifest,
        before: RecommenderSystemStatus | None,
        after: Mapping[str, Any],
        told: list[announcements.Announcement],
    ) -> None:
        """Only where it changed. A resource that was written meanwhile has its next turn at once anyway."""
        if after != (raw.get("status") or {}):
            path = Path(SYSTEM_KIND, *_key(raw))
            try:
                written = await self._api.replace_status(path, {**raw, "status": dict(after)})
                self._own_versions[_key(raw)] = resource_version(written)
            except ApiRefused as refused:
                if refused.status not in (404, 409):
                    raise
                return
            told = [*announcements.of_change(before, RecommenderSystemStatus.model_validate(after)), *told]
        await announcements.publish(self._api, raw, told)


def _key(raw: Manifest) -> Key:
    return Key(raw["metadata"]["namespace"], raw["metadata"]["name"])


def _has_just_begun(body: Manifest, now: datetime) -> bool:
    """By the API server's clock, which may be another than ours: what is of the future is not young."""
    age = now - datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    return 0 <= age.total_seconds() < EVENTS_AFTER_SECONDS


def _word(turn: _Turn, outcome: Outcome) -> str:
    if turn.system.spec.paused:
        return "paused"
    if outcome.refused:
        return "refused"
    return "changed" if outcome.applied or outcome.deleted else "unchanged"


def _again(
    objects: Iterable[Manifest],
    verdicts: Iterable[Verdict],
    before: Mapping[Role, CanaryRecord],
    canaries: Mapping[Role, CanaryRecord],
    look_seconds: float,
) -> float:
    if any(canaries[role].trial.stage is not record.trial.stage for role, record in before.items()):
        return 0.0
    if any(record.trial.stage is CanaryStage.TRIAL for record in canaries.values()):
        return look_seconds
    ready = next(one for one in verdicts if one.type is ConditionType.READY)
    is_ready = ready.status is ConditionStatus.TRUE
    return LOOK_AGAIN_SECONDS if not is_ready and any(map(wants_events, objects)) else RESYNC_SECONDS
