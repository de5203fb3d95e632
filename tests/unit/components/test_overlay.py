"""The overlay of a pod template: what a user writes wins, and nothing else moves."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from recsys_operator.components.overlay import overlay

SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["a", "b", "c"])
NAMES = st.sampled_from(["name", "env", "containers", "spec", "args"])
TREES = st.recursive(
    SCALARS,
    lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)
MAPS = st.dictionaries(NAMES, TREES, max_size=5)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(member) for key, member in value.items() if member is not None}
    return [without_none(member) for member in value] if isinstance(value, list) else value


def test_containers_merge_by_name_and_their_variables_too() -> None:
    base = {"containers": [{"name": "engine", "image": "a", "env": [{"name": "A", "value": "1"}], "args": ["x"]}]}
    patch = {
        "containers": [
            {"name": "engine", "env": [{"name": "B", "value": "2"}], "args": ["y", "z"]},
            {"name": "sidecar", "image": "s"},
        ]
    }
    assert overlay(base, patch) == {
        "containers": [
            {
                "name": "engine",
                "image": "a",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "args": ["y", "z"],
            },
            {"name": "sidecar", "image": "s"},
        ]
    }


def test_mounts_merge_by_path_and_ports_by_number() -> None:
    base = {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}], "ports": [{"containerPort": 80, "name": "http"}]}
    patch = {"volumeMounts": [{"name": "fast", "mountPath": "/tmp"}], "ports": [{"containerPort": 81}]}
    merged = overlay(base, patch)
    assert merged["volumeMounts"] == [{"name": "fast", "mountPath": "/tmp"}]
    assert merged["ports"] == [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]


def test_a_list_that_has_a_name_twice_is_taken_as_it_is() -> None:
    dns = [{"containerPort": 53, "protocol": protocol} for protocol in ("TCP", "UDP")]
    assert overlay({"ports": [{"containerPort": 80}]}, {"ports": dns}) == {"ports": dns}


def test_null_takes_a_field_away() -> None:
    assert overlay({"spec": {"affinity": {"a": 1}, "b": 2}}, {"spec": {"affinity": None}}) == {"spec": {"b": 2}}


@given(MAPS)
def test_an_empty_overlay_changes_nothing(base: dict[str, Any]) -> None:
    assert overlay(base, {}) == without_none(base)


@given(MAPS, MAPS)
@example({}, {"name": [{"name": "a"}, {"name": "a"}]})
def test_an_overlay_twice_is_an_overlay_once(base: dict[str, Any], patch: dict[str, Any]) -> None:
    once = overlay(base, patch)
    assert overlay(once, patch) == once


@given(MAPS, MAPS)
def test_what_was_handed_over_stays_as_it_was(base: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((base, patch))
    overlay(base, patch)
    assert (base, patch) == before


@given(MAPS, st.sampled_from(["name", "args"]), st.integers(0, 9))
def test_a_value_of_the_overlay_wins(base: dict[str, Any], key: str, value: int) -> None:
    assert overlay(base, {key: value})[key] == value
