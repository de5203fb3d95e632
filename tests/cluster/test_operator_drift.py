"""Children edited and deleted at random: the operator puts right what is its own, and leaves alone what is not."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from comparison import wait_until_exact
from controlplane.cluster import KubectlFailed
from installed_operator import System, quickstart
from running_operator import RunningOperator

NOTE = "someone.else/note"


@pytest.mark.parametrize(
    "change",
    [
        ("label", "app.kubernetes.io/managed-by-"),
        ("label", "recsys.io/system-"),
        ("label", "recsys.io/system=another", "--overwrite"),
        ("annotate", "recsys.io/applied-"),
    ],
    ids=lambda change: change[1],
)
def test_a_child_that_loses_what_it_is_known_by_gets_it_back(
    lasting_system: System, operator: RunningOperator, change: tuple[str, ...]
) -> None:
    verb, *rest = change
    lasting_system(verb, "networkpolicy/quickstart-model", *rest)
    wait_until_exact(lasting_system, operator)
    generation = lasting_system.get("recsys", lasting_system.name)["metadata"]["generation"]
    lasting_system.patch(recommendation={"size": generation + 1})  # Ready then speaks for this generation
    lasting_system.wait_until_ready()


@pytest.mark.timeout(600)
def test_children_edited_and_deleted_at_random_are_put_right(
    system: System, operator: RunningOperator, is_soak: bool
) -> None:
    chance = random.Random(7)
    system.apply(quickstart())
    system.wait_until_ready()
    noted: dict[str, str] = {}
    until, done = time.monotonic() + (120 if is_soak else 8), 0
    while time.monotonic() < until:
        try:
            chance.choice((delete, edit, edit, forge, annotate))(system, chance, noted)
            done += 1
        except KubectlFailed:
            continue  # it was being replaced just then
    wait_until_exact(system, operator)
    system.wait_until_ready()
    kept = {child["metadata"]["uid"]: child["metadata"]["annotations"] for child in system.children().values()}
    stayed = {uid: note for uid, note in noted.items() if uid in kept}
    assert stayed, "no annotated child was left alone: make it run longer"
    assert {uid: kept[uid].get(NOTE) for uid in stayed} == stayed
    print(f"\n{done} edits and deletes, {len(stayed)} annotations of others kept")


def any_child(system: System, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Claims aside: who deletes one deletes data, which nobody can put right."""
    names = {name: child for name, child in system.children().items() if not name.startswith("PersistentVolumeClaim/")}
    name = chance.choice(sorted(names))
    return name.lower(), names[name]


def delete(system: System, chance: random.Random, noted: dict[str, str]) -> None:
    name, _ = any_child(system, chance)
    system("delete", name, "--wait=false")


def edit(system: System, chance: random.Random, noted: dict[str, str]) -> None:
    """A field of ours gets another value."""
    name, child = any_child(system, chance)
    if child["kind"] == "ConfigMap":
        key = chance.choice(sorted(child["data"]))
        system("patch", name, "--type=merge", f"--patch={json.dumps({'data': {key: 'forged'}})}")
        return
    patches = EDITS.get(name.split("/")[0], [{"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}])
    system("patch", name, "--type=merge", f"--patch={json.dumps(chance.choice(patches))}")


def forge(system: System, chance: random.Random, noted: dict[str, str]) -> None:
    """A child loses what the operator knows it by."""
    name, _ = any_child(system, chance)
    if chance.random() < 0.5:
        system("label", name, "app.kubernetes.io/managed-by-")
    else:
        system("annotate", name, "recsys.io/applied-")


def annotate(system: System, chance: random.Random, noted: dict[str, str]) -> None:
    """A field that is none of ours."""
    name, child = any_child(system, chance)
    note = str(chance.random())
    system("annotate", name, f"{NOTE}={note}", "--overwrite")
    noted[child["metadata"]["uid"]] = note


EDITS: dict[str, list[dict[str, object]]] = {
    "deployment": [
        {"spec": {"replicas": 4}},
        {"spec": {"template": {"metadata": {"annotations": {"recsys.io/checksum": "forged"}}}}},
        {"metadata": {"labels": {"recsys.io/system": "another"}}},
    ],
    "statefulset": [{"spec": {"replicas": 0}}],
    "service": [{"spec": {"selector": {"recsys.io/system": "another"}}}],
    "networkpolicy": [{"spec": {"ingress": []}}],
    "poddisruptionbudget": [{"spec": {"maxUnavailable": 3}}],
    "role": [{"rules": []}],
    "rolebinding": [{"subjects": []}],
    "serviceaccount": [{"automountServiceAccountToken": False}],
}
