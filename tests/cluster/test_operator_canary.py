"""A canary on a real control plane: tried, promoted or dropped by what the gateways counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from controlplane.cluster import Cluster
from installed_operator import System, engine, home_name, installed_operator, leads, quickstart
from prometheus_answers import CanaryCalls, prometheus_answers
from running_operator import RunningOperator
from waiting import wait_for

CANARY = "deployment/quickstart-base-default-canary"
STABLE = "deployment/quickstart-base-default"
LOOKS = 60.0


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOperator]:
    folder, often = tmp_path_factory.mktemp("operator"), ("--canary-seconds=2",)
    with installed_operator(cluster, folder, home_name(), options=often) as running:
        yield running


@pytest.fixture
def calls() -> Iterator[CanaryCalls]:
    with prometheus_answers() as found:
        yield found


def canary(calls: CanaryCalls, **fields: Any) -> dict[str, Any]:
    block = {
        "model": {"uri": "hf://test/next"},
        "traffic": 20,
        "promoteAfter": "5s",
        "abortOn": {"errorRate": 0.1, "minCalls": 20},
        **fields,
    }
    return quickstart(prometheus={"url": calls.url}, models={"base": engine(canary=block)})


def stage(system: System) -> str | None:
    found = system.get("recsys", system.name).get("status", {}).get("canaries", [])
    return found[0]["stage"] if found else None


def has(system: System, child: str) -> bool:
    return bool(system("get", child, "--output=name", "--ignore-not-found"))


def test_a_canary_that_behaves_becomes_the_model(system: System, calls: CanaryCalls) -> None:
    system.apply(canary(calls))
    system.wait_until_ready()
    assert has(system, CANARY)
    wait_for(lambda: calls.queries, "a look at the counters")
    assert "hf://test/model" in str(system.get(STABLE))
    calls.add("ok", 40)

    wait_for(lambda: stage(system) == "Promoted", "its promotion", LOOKS)
    wait_for(lambda: not has(system, CANARY), "the end of its pods")
    system.wait_until_ready()
    assert "hf://test/next" in str(system.get(STABLE))
    assert system.get("recsys", system.name)["spec"]["models"]["base"]["model"]["uri"] == "hf://test/model"
    assert {"CanaryTrial", "CanaryPromoted"} <= {reason for reason, _ in system.events()}


def test_a_canary_that_fails_is_dropped_and_the_model_stays(system: System, calls: CanaryCalls) -> None:
    system.apply(canary(calls, promoteAfter="1h"))
    system.wait_until_ready()
    wait_for(lambda: calls.queries, "a look at the counters")
    calls.add("ok", 20)
    calls.add("unavailable", 10)

    wait_for(lambda: stage(system) == "Aborted", "its end", LOOKS)
    wait_for(lambda: not has(system, CANARY), "the end of its pods")
    assert "hf://test/model" in str(system.get(STABLE))
    [message] = [message for reason, message in system.events() if reason == "CanaryAborted"]
    assert "10 of 30 calls failed" in message


def test_an_operator_that_restarts_in_the_middle_loses_nothing(
    system: System, calls: CanaryCalls, operator: RunningOperator
) -> None:
    system.apply(canary(calls, abortOn={"errorRate": 0.5, "minCalls": 30}))
    system.wait_until_ready()
    wait_for(lambda: calls.queries, "a look at the counters")
    calls.add("ok", 20)
    wait_for(lambda: counted(system) == 20, "the calls in status", LOOKS)
    started = system.get("recsys", system.name)["status"]["canaries"][0]["startedAt"]
    operator.stop()
    operator.start()
    wait_for(lambda: leads(operator), "its lease")
    looks = len(calls.queries)
    wait_for(lambda: len(calls.queries) > looks, "another look")
    calls.add("ok", 15)

    wait_for(lambda: stage(system) == "Promoted", "its promotion", LOOKS)
    verdict = system.get("recsys", system.name)["status"]["canaries"][0]
    assert (verdict["calls"], verdict["startedAt"]) == (35, started)


def counted(system: System) -> int:
    return int(system.get("recsys", system.name)["status"]["canaries"][0].get("calls", 0))


def test_another_canary_begins_another_trial(system: System, calls: CanaryCalls) -> None:
    first = canary(calls)
    del first["spec"]["models"]["base"]["canary"]["abortOn"]  # time alone promotes
    system.apply(first)
    wait_for(lambda: stage(system) == "Promoted", "its promotion", LOOKS)
    system.apply(canary(calls, promoteAfter="1h", model={"uri": "hf://test/after-next"}))

    wait_for(lambda: stage(system) == "Trial", "another trial", LOOKS)
    wait_for(lambda: has(system, CANARY), "its pods")
