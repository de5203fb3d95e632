"""Who reaches whom, judged as a cluster would: all policies that choose a pod, together."""

from __future__ import annotations

from typing import Any

import pytest
from example_systems import example
from recsys_operator.components.labels import selector
from recsys_operator.components.manifest import Manifest
from recsys_operator.components.network_policy import network_policies

STRANGER = {"app": "stranger"}
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}


def part(component: str) -> dict[str, str]:
    return selector(example("minimal"), component)


def reaches(policies: list[Manifest], source: dict[str, str], target: str, port: int, namespace: str = "shop") -> bool:
    """Whether pods labelled ``source`` in ``namespace`` may open a connection to ``port`` of ``target``."""
    choosing = [
        policy["spec"] for policy in policies if chosen(policy["spec"]["podSelector"]["matchLabels"], part(target))
    ]
    return not choosing or any(
        matches(rule, source, port, namespace) for spec in choosing for rule in spec.get("ingress", [])
    )


def matches(rule: Manifest, source: dict[str, str], port: int, namespace: str) -> bool:
    ports = [one["port"] for one in rule.get("ports", [])]
    peers = rule.get("from")
    return (not ports or port in ports) and (peers is None or any(is_peer(peer, source, namespace) for peer in peers))


def is_peer(peer: Manifest, source: dict[str, str], namespace: str) -> bool:
    if "namespaceSelector" in peer:
        wanted = peer["namespaceSelector"].get("matchLabels", {})
        in_namespace = chosen(wanted, {"kubernetes.io/metadata.name": namespace, "team": namespace})
    else:
        in_namespace = namespace == "shop"
    return in_namespace and chosen(peer.get("podSelector", {}).get("matchLabels", {}), source)


def chosen(wanted: dict[str, str], labels: dict[str, str]) -> bool:
    return wanted.items() <= labels.items()


def policies(**spec: Any) -> list[Manifest]:
    return network_policies(example("minimal", **spec))


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        ("gateway", "model", 8080, True),
        ("gateway", "embedder", 8001, True),
        ("gateway", "milvus", 19530, True),
        ("catalog", "embedder", 8001, True),
        ("catalog", "milvus", 19530, True),
        ("catalog", "model", 8080, False),
        ("model", "milvus", 19530, False),
        ("model", "model", 8080, False),
        ("embedder", "milvus", 19530, False),
        ("gateway", "milvus", 9091, False),
        ("gateway", "catalog", 8080, False),
        ("model", "gateway", 8080, True),
    ],
)
def test_the_parts_of_a_system_reach_what_they_need(source: str, target: str, port: int, allowed: bool) -> None:
    assert reaches(policies(), part(source), target, port) is allowed


@pytest.mark.parametrize(
    ("target", "port"), [("model", 8080), ("embedder", 8001), ("embedder", 8000), ("milvus", 19530)]
)
@pytest.mark.parametrize("namespace", ["shop", "elsewhere"])
def test_nobody_else_reaches_engines_embedder_and_store(target: str, port: int, namespace: str) -> None:
    assert not reaches(policies(), STRANGER, target, port, namespace)


def test_another_system_of_the_namespace_is_a_stranger() -> None:
    other = {**part("gateway"), "recsys.io/system": "other"}
    assert not reaches(policies(), other, "milvus", 19530)


def test_everybody_reaches_the_gateway_unless_somebody_is_named() -> None:
    assert reaches(policies(), STRANGER, "gateway", 8080, "elsewhere")
    named = policies(networkPolicy={"gatewayFrom": [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]})
    assert reaches(named, STRANGER, "gateway", 8080, "web")
    assert not reaches(named, STRANGER, "gateway", 8080, "elsewhere")


@pytest.mark.parametrize(("target", "port"), [("model", 8080), ("embedder", 8002), ("milvus", 9091), ("gateway", 8080)])
def test_a_prometheus_scrapes_where_metrics_are_asked_for(target: str, port: int) -> None:
    watched = policies(monitoring={"podMonitor": True})
    assert reaches(watched, PROMETHEUS, target, port, "monitoring")
    assert not reaches(watched, STRANGER, "milvus", 9091, "monitoring")


def test_metrics_from_names_who_scrapes() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "observers"}}}]
    named = policies(monitoring={"podMonitor": True}, networkPolicy={"metricsFrom": peers})
    assert reaches(named, STRANGER, "milvus", 9091, "observers")
    assert not reaches(named, PROMETHEUS, "milvus", 9091, "monitoring")
    assert not reaches(named, STRANGER, "milvus", 19530, "observers")


def test_the_store_goes_nowhere_and_downloads_go_out() -> None:
    egress = {policy["metadata"]["name"]: policy["spec"]["egress"] for policy in policies()}
    assert all(rule["ports"] for rule in egress["minimal-milvus"])
    assert {port["port"] for rule in egress["minimal-milvus"] for port in rule["ports"]} == {53}
    assert egress["minimal-model"] == [{}]
    assert egress["minimal-catalog"] == [{}]


def test_policies_are_made_where_they_are_wanted() -> None:
    assert not policies(networkPolicy={"enabled": False})
