"""Which part of a live object speaks to a manifest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_operator.reconcile.live_fields import live_part

Manifest = dict[str, Any]


def deployment(**container: Any) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", **container}]}}},
    }


def test_defaults_and_status_are_left_out() -> None:
    live = deployment(image="engine:1", imagePullPolicy="Always") | {"status": {"replicas": 1}}
    wanted = deployment(image="engine:1")

    assert live_part(wanted, live) == wanted


def test_a_container_that_somebody_injects_is_left_alone() -> None:
    live = deployment(image="engine:1")
    live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "mesh:1"})
    wanted = deployment(image="engine:1")

    assert live_part(wanted, live) == wanted


def test_another_value_of_a_field_of_ours_is_seen() -> None:
    wanted = deployment(image="engine:1", ports=[{"containerPort": 80, "name": "http"}])
    live = deployment(image="engine:2", ports=[{"containerPort": 80, "name": "http", "protocol": "TCP"}])

    assert live_part(wanted, live) == deployment(image="engine:2", ports=[{"containerPort": 80, "name": "http"}])


def test_a_field_of_ours_that_is_gone_is_seen() -> None:
    wanted = deployment(image="engine:1", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    live = deployment(image="engine:1", env=[{"name": "B", "value": "2"}])

    assert live_part(wanted, live) == live


@pytest.mark.parametrize(
    ("kind", "field", "wanted", "live"),
    [
        pytest.param(
            "RoleBinding",
            "subjects",
            [{"kind": "ServiceAccount", "name": "gateway"}],
            [{"kind": "ServiceAccount", "name": "gateway"}, {"kind": "User", "name": "somebody"}],
            id="a subject that was added to a binding",
        ),
        pytest.param(
            "Role",
            "rules",
            [{"resources": ["endpointslices"], "verbs": ["get"]}],
            [{"resources": ["endpointslices"], "verbs": ["get", "delete"]}],
            id="a verb that was added to a role",
        ),
        pytest.param(
            "NetworkPolicy",
            "ports",
            [{"port": 80, "protocol": "TCP"}],
            [{"port": 80, "protocol": "TCP"}, {"port": 22, "protocol": "TCP"}],
            id="a port that was opened in a policy",
        ),
    ],
)
def test_lists_that_have_one_owner_are_compared_as_a_whole(
    kind: str, field: str, wanted: list[Any], live: list[Any]
) -> None:
    assert live_part({"kind": kind, field: wanted}, {"kind": kind, field: live}) == {"kind": kind, field: live}


json_values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "items", [[[]], ["A", {"name": "A"}], [{"name": "A"}, {"name": "A", "value": "1"}], [{"name": []}]]
)
def test_a_list_of_such_a_name_whose_items_have_no_names_is_taken_as_a_whole(items: list[Any]) -> None:
    assert live_part({"env": items}, {"env": items}) == {"env": items}


@given(wanted=st.dictionaries(st.text(max_size=3), json_values, max_size=4), added=st.text(min_size=4))
def test_an_object_holds_just_what_is_wanted_of_it_whatever_is_added_beside(wanted: Manifest, added: str) -> None:
    assert live_part(wanted, wanted) == wanted
    assert live_part(wanted, {**wanted, added: 1}) == wanted
