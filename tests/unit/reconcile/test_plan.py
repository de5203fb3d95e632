"""What is applied, and what is deleted."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_operator.components.manifest import ChildKey, key_of
from recsys_operator.reconcile.live_fields import live_part
from recsys_operator.reconcile.plan import APPLIED, Applied, Plan, Why, is_ours, plan, with_digest

Manifest = dict[str, Any]
UID = "uid-of-the-system"
LABELS = {"app.kubernetes.io/managed-by": "recsys-operator", "recsys.io/system": "shop"}


def config_map(name: str, *, owner: str | None = UID, kind: str = "ConfigMap", **data: str) -> Manifest:
    found: Manifest = {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        "data": data,
    }
    if owner is not None:
        found["metadata"]["ownerReferences"] = [{"uid": owner, "controller": True}]
    return found


def applied(manifest: Manifest) -> Manifest:
    """As the API server holds it after our apply."""
    return stored(with_digest(manifest))


def stored(complete: Manifest) -> Manifest:
    live = copy.deepcopy(complete)
    live["metadata"] |= {"uid": f"uid-{live['metadata']['name']}", "resourceVersion": "7"}
    return live


def planned(wanted: Sequence[Manifest], live: Iterable[Manifest], uid: str, known: Mapping[ChildKey, Applied]) -> Plan:
    return plan([with_digest(manifest) for manifest in wanted], live, uid, known)


def test_what_is_absent_is_created() -> None:
    [create] = planned([config_map("a")], [], UID, {}).applies
    assert (create.why, create.key.name) == (Why.CREATE, "a")


def test_what_is_as_asked_costs_nothing() -> None:
    assert planned([config_map("a", x="1")], [applied(config_map("a", x="1"))], UID, {}).applies == ()


def test_what_somebody_changed_is_put_right() -> None:
    live = applied(config_map("a", x="1"))
    live["data"]["x"] = "2"

    [repair] = planned([config_map("a", x="1")], [live], UID, {}).applies
    assert repair.why is Why.DRIFT


def test_fields_of_others_are_no_drift() -> None:
    live = applied(config_map("a", x="1"))
    live["data"]["theirs"] = "2"
    live["metadata"]["annotations"]["someone.else/note"] = "kept"

    assert planned([config_map("a", x="1")], [live], UID, {}).applies == ()


def test_a_field_that_is_no_longer_wanted_is_taken_out_by_an_apply() -> None:
    [change] = planned([config_map("a", x="1")], [applied(config_map("a", x="1", old="2"))], UID, {}).applies

    assert change.why is Why.CHANGE
    assert change.manifest["data"] == {"x": "1"}


def test_another_notation_of_the_same_is_learnt_from_the_answer_to_an_apply() -> None:
    wanted = config_map("a", cpu="1000m")
    live = applied(wanted)
    live["data"]["cpu"] = "1"
    manifest = with_digest(wanted)
    known = {key_of(wanted): Applied(manifest["metadata"]["annotations"][APPLIED], live_part(manifest, live))}

    assert [one.why for one in planned([wanted], [live], UID, {}).applies] == [Why.DRIFT]
    assert planned([wanted], [live], UID, known).applies == ()


def test_a_child_that_was_there_and_is_gone_was_deleted_by_somebody() -> None:
    manifest = with_digest(config_map("a"))
    known = {key_of(manifest): Applied(manifest["metadata"]["annotations"][APPLIED], manifest)}

    assert [one.why for one in planned([config_map("a")], [], UID, known).applies] == [Why.DRIFT]


def test_a_child_on_its_way_out_is_waited_for() -> None:
    live = applied(config_map("a"))
    live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert planned([config_map("a")], [live], UID, {}).applies == ()
    assert planned([], [live], UID, {}).deletes == ()


def test_what_is_no_longer_wanted_is_deleted() -> None:
    [gone] = planned([config_map("a")], [applied(config_map("a")), applied(config_map("b"))], UID, {}).deletes
    assert gone["metadata"]["name"] == "b"


@pytest.mark.parametrize(
    "child",
    [
        pytest.param(config_map("b", owner="another system's"), id="of another owner"),
        pytest.param(config_map("b", owner=None), id="of no owner"),
        pytest.param(config_map("b", kind="PersistentVolumeClaim"), id="a claim"),
        pytest.param(config_map("b", kind="Pod"), id="a pod"),
    ],
)
def test_what_is_not_ours_to_delete_stays(child: Manifest) -> None:
    assert planned([], [applied(child)], UID, {}).deletes == ()


def test_retained_claims_are_adopted_by_their_name() -> None:
    """A system that is created again finds the claim of the one before: under Retain it has no owner."""
    retained = config_map("milvus", owner=None, kind="PersistentVolumeClaim", size="10Gi")

    assert planned([retained], [applied(retained)], UID, {}).applies == ()
    [adopted] = planned(
        [config_map("milvus", kind="PersistentVolumeClaim", size="10Gi")], [applied(retained)], UID, {}
    ).applies
    assert adopted.manifest["metadata"]["ownerReferences"][0]["uid"] == UID


def test_nulls_are_not_sent() -> None:
    manifest = with_digest({**config_map("a"), "spec": {"storageClassName": None, "list": [{"x": None}]}})
    assert manifest["spec"] == {"list": [{}]}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        pytest.param(config_map("a"), True, id="owned"),
        pytest.param(config_map("a", owner="an earlier shop"), True, id="of an earlier system of the name"),
        pytest.param(config_map("a", owner=None), True, id="retained"),
        pytest.param({"metadata": {"name": "a"}}, False, id="a stranger's"),
        pytest.param(
            {"metadata": {"name": "a", "labels": LABELS | {"recsys.io/system": "bakery"}}}, False, id="another system's"
        ),
        pytest.param({"metadata": {"name": "a", "annotations": {APPLIED: "x"}}}, True, id="its labels were removed"),
    ],
)
def test_an_object_of_the_name_is_taken_only_where_it_is_ours(live: Manifest, expected: bool) -> None:
    assert is_ours(live, "shop", UID) is expected


names = st.sets(st.sampled_from("abcdef"))
children = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([UID, "other", None]))


@given(wanted=names, live=children, values=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("12")))
def test_carried_out_a_plan_leads_to_what_is_wanted_and_to_rest(
    wanted: set[str], live: dict[str, str | None], values: dict[str, str]
) -> None:
    desired = [config_map(name, x="1") for name in sorted(wanted)]
    cluster: dict[ChildKey, Manifest] = {}
    for name, owner in live.items():
        body = applied(config_map(name, owner=owner, x=values.get(name, "1")))
        cluster[key_of(body)] = body
    strangers = {
        key for key, body in cluster.items() if body["metadata"].get("ownerReferences", [{}])[0].get("uid") != UID
    }

    first = planned(desired, cluster.values(), UID, {})
    for one in first.applies:
        cluster[one.key] = stored(one.manifest)
    for body in first.deletes:
        del cluster[key_of(body)]
    second = planned(desired, cluster.values(), UID, {})

    assert second.applies == ()
    assert second.deletes == ()
    assert {key.name for key in cluster} == wanted | {key.name for key in strangers}
