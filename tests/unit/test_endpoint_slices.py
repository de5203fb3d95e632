"""EndpointSlices of a cluster, as documents, and the pods that follow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recsys_gateway.config import PodService, ServiceReference
from recsys_gateway.serving.endpoint_slices import (
    EndpointSlice,
    FoundPod,
    NotASlice,
    SliceSet,
    common_labels,
    count_ready,
    missing_port,
    parse_slice,
    pods_of,
    selected,
)

POOL = {"recsys.io/system": "shop", "recsys.io/pool": "a100"}
SERVICE = PodService(namespace="shop", selector=POOL)


def endpoint(address: str, pod: str | None = None, **conditions: bool) -> dict[str, Any]:
    named = {"targetRef": {"kind": "Pod", "name": pod, "uid": pod}} if pod else {}
    return {"addresses": [address], "conditions": conditions, **named}


def document(*endpoints: dict[str, Any], name: str = "s1", port: int = 8080, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {**POOL, "kubernetes.io/service-name": "shop-a100"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    } | more


def slices(*documents: dict[str, Any]) -> list[EndpointSlice]:
    return [parse_slice(each) for each in documents]


def test_ready_pods_take_calls() -> None:
    found = pods_of(slices(document(endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2", ready=True))), SERVICE)
    assert found == [FoundPod("http://10.0.0.1:8080", True), FoundPod("http://10.0.0.2:8080", True)]


def test_conditions_that_are_absent_mean_ready_and_not_terminating() -> None:
    bare = {"addresses": ["10.0.0.1"]}
    assert pods_of(slices(document(bare)), SERVICE) == [FoundPod("http://10.0.0.1:8080", True)]


@pytest.mark.parametrize(
    ("conditions", "known", "expected"),
    [
        ({"ready": False, "serving": True, "terminating": True}, False, [False]),
        ({"ready": False, "serving": False, "terminating": True}, False, [False]),
        # A Service that publishes unready addresses calls a terminating pod ready, too.
        ({"ready": True, "serving": True, "terminating": True}, False, [False]),
        ({"ready": False, "serving": False}, False, []),
        ({"ready": False, "serving": False}, True, [False]),
    ],
)
def test_a_pod_that_ends_or_is_not_ready_takes_no_new_call(
    conditions: dict[str, bool], known: bool, expected: list[bool]
) -> None:
    before = {"http://10.0.0.1:8080"} if known else set()
    found = pods_of(slices(document(endpoint("10.0.0.1", **conditions))), SERVICE, before)
    assert [pod.accepting for pod in found] == expected


def test_the_slices_of_a_service_are_one_set_and_other_services_are_left_out() -> None:
    other = document(endpoint("10.9.9.9"), name="other")
    other["metadata"]["labels"] = {"recsys.io/system": "shop", "recsys.io/pool": "t4"}
    first, second = document(endpoint("10.0.0.1")), document(endpoint("10.0.0.2"), name="s2", port=9000)
    found = pods_of(slices(first, second, other), SERVICE)
    assert [pod.url for pod in found] == ["http://10.0.0.1:8080", "http://10.0.0.2:9000"]


def test_a_pod_that_moves_from_one_slice_to_another_is_one_pod() -> None:
    old = document(endpoint("10.0.0.1", pod="p", ready=False))
    new = document(endpoint("10.0.0.1", pod="p", ready=True), name="s2")
    assert pods_of(slices(old, new), SERVICE) == [FoundPod("http://10.0.0.1:8080", True)]


def test_a_pod_of_two_families_is_called_by_its_ipv4_address() -> None:
    six = document(endpoint("fd00::1", pod="p"), name="a-six", addressType="IPv6")
    four = document(endpoint("10.0.0.1", pod="p"), name="b-four")
    assert [pod.url for pod in pods_of(slices(six, four), SERVICE)] == ["http://10.0.0.1:8080"]
    assert [pod.url for pod in pods_of(slices(six), SERVICE)] == ["http://[fd00::1]:8080"]
    assert count_ready(slices(six, four), SERVICE) == 1


PORTS = [{"name": "metrics", "port": 9090}, {"name": "grpc", "port": 8001}]


@pytest.mark.parametrize(
    ("ports", "wanted", "number"),
    [
        ([{"name": "api", "port": 80}], None, 80),
        ([*PORTS, {"name": "http", "port": 8080}], None, 8080),
        (PORTS, "grpc", 8001),
        (PORTS, 9090, 9090),
        (PORTS, None, None),
        (PORTS, "http", None),
        ([], None, None),
    ],
)
def test_the_port_is_found_by_name_by_number_or_as_the_only_one(
    ports: list[dict[str, Any]], wanted: str | int | None, number: int | None
) -> None:
    service = PodService(namespace="shop", selector=POOL, port=wanted)
    known = slices(document(endpoint("10.0.0.1"), ports=ports))
    assert [pod.url for pod in pods_of(known, service)] == ([f"http://10.0.0.1:{number}"] if number else [])
    assert (missing_port(known, service) is None) == (number is not None)


def test_a_missing_port_is_told_with_those_that_are_there() -> None:
    told = missing_port(slices(document(endpoint("10.0.0.1"), ports=PORTS)), SERVICE)
    assert told == "EndpointSlice s1 has no port http; its ports: metrics=9090, grpc=8001"


def test_https_is_spoken_where_the_service_says_so() -> None:
    ports = [{"name": "http", "port": 8443, "appProtocol": "https"}]
    found = pods_of(slices(document(endpoint("10.0.0.1"), ports=ports)), SERVICE)
    assert [pod.url for pod in found] == ["https://10.0.0.1:8443"]


def test_only_ready_gateways_are_counted() -> None:
    ends = endpoint("10.0.0.3", pod="c", ready=False, terminating=True)
    starts = endpoint("10.0.0.4", pod="d", ready=False)
    known = slices(document(endpoint("10.0.0.1", pod="a"), endpoint("10.0.0.2", pod="b"), ends, starts))
    assert count_ready(known, ServiceReference(namespace="shop", selector=POOL)) == 2


def test_one_watch_is_narrowed_to_what_all_of_its_pools_ask_for() -> None:
    other = ServiceReference(namespace="shop", selector={"recsys.io/system": "shop", "recsys.io/pool": "t4"})
    assert common_labels([SERVICE, other]) == {"recsys.io/system": "shop"}
    assert common_labels([SERVICE]) == dict(sorted(POOL.items()))
    assert common_labels([SERVICE, ServiceReference(namespace="shop", selector={"x": "y"})]) == {}
    assert common_labels([]) == {}


@pytest.mark.parametrize("broken", [{}, {"metadata": None}, {"metadata": {"name": "s"}, "addressType": "", "ports": 3}])
def test_a_document_that_is_no_slice_changes_nothing(broken: dict[str, Any]) -> None:
    known = SliceSet()
    known.replace([document(endpoint("10.0.0.1"))])
    with pytest.raises(NotASlice):
        known.apply("MODIFIED", broken)
    with pytest.raises(NotASlice):
        known.replace([broken])
    assert [pod.url for pod in pods_of(known.slices, SERVICE)] == ["http://10.0.0.1:8080"]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.sampled_from("abc"), st.integers(1, 5))
)


@given(EVENTS)
def test_events_lead_to_the_same_set_as_a_list_of_what_is_there_then(events: list[tuple[str, str, int]]) -> None:
    watched, there = SliceSet(), dict[str, dict[str, Any]]()
    for kind, name, number in events:
        told = document(endpoint(f"10.0.0.{number}"), name=name)
        watched.apply(kind, told)
        if kind == "DELETED":
            there.pop(name, None)
        else:
            there[name] = told
    listed = SliceSet()
    listed.replace(there.values())
    assert pods_of(watched.slices, SERVICE) == pods_of(listed.slices, SERVICE)
    assert selected(watched.slices, SERVICE) == selected(listed.slices, SERVICE)
