"""Alerts and dashboard: their queries are parsed by Prometheus's own tool, run on series, and held to real metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from example_systems import example
from prometheus_client import generate_latest
from recsys_gateway.config import GatewayConfig
from recsys_gateway.serving.collector import FleetCollector
from recsys_gateway.serving.engine_calls import CallObserver
from recsys_gateway.serving.fleet import Fleet
from recsys_gateway.telemetry import Metrics
from recsys_operator.components.alerts import alert_groups
from recsys_operator.components.dashboard import dashboard
from recsys_operator.components.manifest import POD_MONITOR, PROMETHEUS_RULE, Manifest
from recsys_operator.components.monitoring import monitoring_manifests
from recsys_operator.components.observed import Observed

SYSTEM = example("minimal", models={"tuned": {"model": {"uri": "sample://tuned"}}})
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
_METRIC = re.compile(r"recsys_gateway_[a-z_]+")
_LABELS = 'namespace="shop",recsys_io_system="minimal"'


def promtool(*arguments: str, folder: Path) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alert_expressions() -> list[str]:
    return [rule["expr"] for group in alert_groups(SYSTEM) for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    for panel in dashboard(SYSTEM)["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]


@pytest.fixture
async def exposed() -> set[str]:
    """The names of all series that a gateway can expose."""
    metrics = Metrics()
    endpoint = {"name": "a", "endpoints": [{"url": "http://127.0.0.1:9"}]}
    config = GatewayConfig.model_validate(
        {"models": [{"name": "m", "role": "base", "engine": "TGI", "pools": [endpoint]}]}
    )
    nothing = CallObserver(called=lambda *_: None, retried=lambda _: None, waited=lambda *_: None)
    fleet = Fleet(config, nothing, Random(1))
    metrics.registry.register(FleetCollector(fleet))
    try:
        text = generate_latest(metrics.registry).decode()
    finally:
        await fleet.close()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    return names | {f"{name}_{part}" for name in names for part in ("bucket", "sum", "count")}


async def test_every_query_is_over_metrics_that_a_gateway_exposes(exposed: set[str]) -> None:
    for expression in (*alert_expressions(), *dashboard_expressions()):
        assert set(_METRIC.findall(expression)) <= exposed, expression


def test_every_query_is_of_this_system_alone() -> None:
    for expression in (*alert_expressions(), *dashboard_expressions()):
        assert expression.count("recsys_gateway_") == expression.count(_LABELS), expression


@needs_promtool
def test_prometheus_accepts_the_alerts(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": alert_groups(SYSTEM)}), encoding="utf-8")
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", folder=tmp_path)


@needs_promtool
def test_prometheus_accepts_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{index}", "expr": expression.replace("$__rate_interval", "1m")}
        for index, expression in enumerate(dashboard_expressions())
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert "SUCCESS" in promtool("check", "rules", "rules.yaml", folder=tmp_path)


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    text = ",".join([_LABELS, *(f'{label}="{value}"' for label, value in labels.items())])
    return {"series": f"{name}{{{text}}}", "values": values}


WELL = [
    series("recsys_gateway_queue_depth", "0x60", role="tuned"),
    series("recsys_gateway_queue_depth", "0x60", role="base"),
    series("recsys_gateway_pod_inflight", "1x60", role="tuned", pool="default", pod="http://a"),
    series("recsys_gateway_pod_inflight", "1x60", role="base", pool="default", pod="http://b"),
    series("recsys_gateway_pod_scrape_age_seconds", "0.5x60", role="base", pool="default", pod="http://b"),
    series("recsys_gateway_requests_total", "0+600x60", route="/v1/recommendations", outcome="ok"),
    series("recsys_gateway_degraded_total", "0+6x60", stage="rank"),
    series("recsys_gateway_ejections_total", "0x60", role="base"),
]
BAD: dict[str, list[dict[str, str]]] = {
    "RecsysQueueDeep": [series("recsys_gateway_queue_depth", "300x60", role="base")],
    "RecsysPodMetricsStale": [
        series("recsys_gateway_pod_scrape_age_seconds", "45x60", role="base", pool="default", pod="http://b")
    ],
    "RecsysAnswersDegraded": [series("recsys_gateway_degraded_total", "0+60x60", stage="rank")],
    "RecsysRequestsFail": [
        series("recsys_gateway_requests_total", "0+60x60", route="/v1/recommendations", outcome="unavailable")
    ],
    "RecsysPodsEjected": [series("recsys_gateway_ejections_total", "0+2x60", role="base")],
}
GONE = {"RecsysGatewayAbsent": "recsys_gateway_", "RecsysNoPods": "recsys_gateway_pod_inflight"}


def firing(folder: Path, given: list[dict[str, str]]) -> set[str]:
    """The alerts that Prometheus raises 40 minutes into ``given``: none is expected, and it tells which came."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": alert_groups(SYSTEM)}), encoding="utf-8")
    names = {rule["alert"] for group in alert_groups(SYSTEM) for rule in group["rules"]}
    silent = [{"eval_time": "40m", "alertname": name, "exp_alerts": []} for name in sorted(names)]
    test = {"interval": "1m", "input_series": given, "alert_rule_test": silent}
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    assert PROMTOOL is not None
    command = [PROMTOOL, "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    found = set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr))
    assert bool(found) is bool(done.returncode), done.stdout + done.stderr
    return found


@needs_promtool
def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    assert firing(tmp_path, WELL) == set()


@needs_promtool
@pytest.mark.parametrize("alert", BAD)
def test_an_alert_fires_at_what_it_is_for_and_no_other_does(alert: str, tmp_path: Path) -> None:
    worse = {one["series"] for one in BAD[alert]}
    given = [one for one in WELL if one["series"] not in worse] + BAD[alert]
    assert firing(tmp_path, given) == {alert}


@needs_promtool
@pytest.mark.parametrize("alert", GONE)
def test_an_alert_fires_at_what_is_missing(alert: str, tmp_path: Path) -> None:
    given = [one for one in WELL if not one["series"].startswith(GONE[alert])]
    assert firing(tmp_path, given) == {alert}


def test_every_alert_says_what_to_do() -> None:
    for group in alert_groups(SYSTEM):
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
            assert len(rule["annotations"]["runbook"]) > 80, rule["alert"]


@pytest.mark.parametrize(
    ("pool", "alerted"),
    [
        ({"replicas": 2}, True),
        ({"scaling": {"minReplicas": 1, "maxReplicas": 3}}, True),
        ({"scaling": {"minReplicas": 0, "maxReplicas": 3}}, False),
        ({"replicas": 0}, False),
    ],
)
def test_a_pool_that_may_be_empty_raises_no_alarm(pool: dict[str, Any], alerted: bool) -> None:
    system = example("minimal", models={"base": {"pools": [{"name": "default", **pool}]}})
    names = [rule["alert"] for group in alert_groups(system) for rule in group["rules"]]
    assert ("RecsysNoPods" in names) is alerted


def manifests(*kinds: Any, name: str = "full") -> list[Manifest]:
    return monitoring_manifests(example(name), Observed(apis=frozenset(kinds)))


def test_each_object_is_made_where_it_is_asked_for_and_known() -> None:
    assert [manifest["kind"] for manifest in manifests()] == ["ConfigMap"]
    assert {manifest["kind"] for manifest in manifests(POD_MONITOR)} == {"ConfigMap", "PodMonitor"}
    assert {manifest["kind"] for manifest in manifests(PROMETHEUS_RULE)} == {"ConfigMap", "PrometheusRule"}
    assert not manifests(POD_MONITOR, PROMETHEUS_RULE, name="minimal")


def test_a_prometheus_finds_them_by_the_resources_labels() -> None:
    for manifest in manifests(POD_MONITOR, PROMETHEUS_RULE):
        assert manifest["metadata"]["labels"]["release"] == "monitoring"
        assert manifest["metadata"]["labels"]["recsys.io/system"] == "full"


def test_the_gateways_series_keep_their_label_pod() -> None:
    monitors = {one["metadata"]["name"]: one["spec"] for one in manifests(POD_MONITOR) if one["kind"] == "PodMonitor"}
    assert set(monitors) == {"full-gateway", "full-tuned", "full-embedder", "full-milvus"}
    (endpoint,) = monitors["full-gateway"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["interval"] == "30s"
    assert monitors["full-gateway"]["podTargetLabels"] == ["recsys.io/system"]


def test_the_dashboard_is_what_grafana_imports() -> None:
    (manifest,) = manifests()
    ((file, text),) = manifest["data"].items()
    board = json.loads(text)
    assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert file == "full-dashboard.json"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
