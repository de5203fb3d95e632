"""Pure: what is there against what is wanted -> conditions.

A part's condition is True when all its children are as the *newest* spec asks: a Ready that is True for the version
before would lie to who waits for it. It is absent where the system has no such part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recsys_gateway.config import Track

from recsys_operator.api.status import ConditionStatus, ConditionType
from recsys_operator.components.labels import COMPONENT, TRACK
from recsys_operator.components.manifest import ChildKey, Manifest, key_of
from recsys_operator.reconcile.problems import Problem
from recsys_operator.reconcile.workloads import Shortfall, Surroundings, problems, shortfall


class Verdict(NamedTuple):
    """A condition without its times."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


class Refused(NamedTuple):
    """A child that the API server did not take."""

    key: ChildKey
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Sight:
    """All that conditions are judged by. ``children``: live objects. ``notes``: what is left out, and why."""

    desired: Sequence[Manifest]
    children: Mapping[ChildKey, Manifest]
    around: Surroundings = field(default_factory=Surroundings)
    refused: Sequence[Refused] = ()
    notes: Sequence[Problem] = ()
    is_paused: bool = False


PARTS: tuple[tuple[ConditionType, str], ...] = (
    (ConditionType.MODELS_CACHED, "model-cache"),
    (ConditionType.VECTOR_STORE_READY, "milvus"),
    (ConditionType.EMBEDDER_READY, "embedder"),
    (ConditionType.MODELS_READY, "model"),
    (ConditionType.CATALOG_LOADED, "catalog"),
    (ConditionType.GATEWAY_READY, "gateway"),
    (ConditionType.FINE_TUNED, "fine-tuning"),
)
"""In the order in which one part waits for another: the first that fails is what to look at."""
_NOT_NEEDED_TO_ANSWER = frozenset({ConditionType.FINE_TUNED})
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "Job", "Milvus"})


def conditions(sight: Sight) -> list[Verdict]:
    parts = {type_: _part(sight, component) for type_, component in PARTS if _has_part(sight, component)}
    others = _others(sight)
    needed = {type_: short for type_, short in parts.items() if type_ not in _NOT_NEEDED_TO_ANSWER}
    first = next((short for short in needed.values() if short is not None), others)
    return [
        _ready(first),
        _progressing(sight, [*parts.values(), others]),
        _degraded(sight),
        *(_of_part(type_, short) for type_, short in parts.items()),
    ]


def invalid_spec(problems: str) -> list[Verdict]:
    """A resource that cannot be read. Its children stay as they are."""
    message = f"{problems}; nothing was changed: correct the spec and apply it again"
    return [
        Verdict(ConditionType.READY, ConditionStatus.FALSE, "InvalidSpec", message),
        Verdict(ConditionType.PROGRESSING, ConditionStatus.FALSE, "InvalidSpec", "The spec cannot be used as it is."),
        Verdict(ConditionType.DEGRADED, ConditionStatus.TRUE, "InvalidSpec", message),
    ]


def _has_part(sight: Sight, component: str) -> bool:
    return any(manifest["kind"] in _WORKLOADS for manifest in _stable(sight, component))


def _part(sight: Sight, component: str) -> Shortfall | None:
    """The first shortfall that somebody has to mend, else the first that time will."""
    found = [short for manifest in _stable(sight, component) if (short := _child(sight, manifest)) is not None]
    return next((short for short in found if not short.moving), found[0] if found else None)


def _stable(sight: Sight, component: str) -> list[Manifest]:
    """A canary's children are not among them: a trial that fails takes nothing from what serves."""
    return [
        manifest
        for manifest in sight.desired
        if _labels(manifest).get(COMPONENT) == component and _labels(manifest).get(TRACK) != Track.CANARY.value
    ]


def _others(sight: Sight) -> Shortfall | None:
    """Children of no part with a condition of its own, such as network policies: they only must be there."""
    known = {component for _, component in PARTS}
    for manifest in sight.desired:
        is_canary = _labels(manifest).get(TRACK) == Track.CANARY.value
        if (_labels(manifest).get(COMPONENT) not in known and not is_canary) and (short := _child(sight, manifest)):
            return short
    return None


def _child(sight: Sight, manifest: Manifest) -> Shortfall | None:
    key = key_of(manifest)
    for refused in sight.refused:
        if refused.key == key:
            return _refusal(refused)
    live = sight.children.get(key)
    if live is None or "deletionTimestamp" in live["metadata"]:
        return Shortfall("Creating", f"{key.kind} {key.name} is being made")
    return shortfall(live, sight.around)


def _refusal(refused: Refused) -> Shortfall:
    named = f"{refused.key.kind} {refused.key.name}"
    if refused.reason == "NameTaken":
        return Shortfall("NameTaken", refused.message, moving=False)
    if refused.reason == "Forbidden":
        return Shortfall(
            "Forbidden",
            f"the operator may not write {named}: check its role and the namespace's quota ({refused.message})",
            moving=False,
        )
    return Shortfall("ChildRefused", f"the API server refuses {named}: {refused.message}", moving=False)


def _ready(first: Shortfall | None) -> Verdict:
    if first is None:
        return Verdict(ConditionType.READY, ConditionStatus.TRUE, "AllReady", "Every part is ready.")
    return Verdict(ConditionType.READY, ConditionStatus.FALSE, first.reason, first.message)


def _of_part(type_: ConditionType, short: Shortfall | None) -> Verdict:
    if short is None:
        return Verdict(type_, ConditionStatus.TRUE, "AsAsked")
    return Verdict(type_, ConditionStatus.FALSE, short.reason, short.message)


def _progressing(sight: Sight, shortfalls: Sequence[Shortfall | None]) -> Verdict:
    """True while time alone brings it further."""
    if sight.is_paused:
        message = "spec.paused is true: children are left as they are"
        return Verdict(ConditionType.PROGRESSING, ConditionStatus.FALSE, "Paused", message)
    moving = next((short for short in shortfalls if short is not None and short.moving), None)
    if moving is not None:
        return Verdict(ConditionType.PROGRESSING, ConditionStatus.TRUE, moving.reason, moving.message)
    stuck = next((short for short in shortfalls if short is not None), None)
    if stuck is not None:
        return Verdict(ConditionType.PROGRESSING, ConditionStatus.FALSE, stuck.reason, stuck.message)
    return Verdict(ConditionType.PROGRESSING, ConditionStatus.FALSE, "Complete", "The rollout is complete.")


def _degraded(sight: Sight) -> Verdict:
    """True where something is less than was asked for, even if enough is there to answer."""
    live = [sight.children[key_of(one)] for one in sight.desired if key_of(one) in sight.children]
    found = [*problems(live, sight.around), *sight.notes]
    found += [Problem(short.reason, short.message) for short in map(_refusal, sight.refused)]
    if not found:
        return Verdict(ConditionType.DEGRADED, ConditionStatus.FALSE, "AsAsked")
    messages = list(dict.fromkeys(problem.message for problem in found))
    more = f" (and {len(messages) - 3} more)" if len(messages) > 3 else ""
    return Verdict(ConditionType.DEGRADED, ConditionStatus.TRUE, found[0].reason, "; ".join(messages[:3]) + more)


def _labels(manifest: Manifest) -> Mapping[str, str]:
    found: Mapping[str, str] = manifest["metadata"].get("labels") or {}
    return found
