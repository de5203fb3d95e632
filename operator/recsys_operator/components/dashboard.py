"""A Grafana dashboard of one system, over the gateway's metrics."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from recsys_operator.api.recommender_system import RecommenderSystem
from recsys_operator.components.alerts import RECOMMENDATIONS, series
from recsys_operator.components.labels import digest
from recsys_operator.components.manifest import Manifest

SCHEMA_VERSION = 39
"""Of Grafana 10 and later."""
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    expression: str
    legend: str


class Panel(NamedTuple):
    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]


def dashboard(system: RecommenderSystem) -> Manifest:
    """The dashboard as Grafana imports it. The data source is chosen in Grafana."""
    name, namespace = system.metadata.name, system.metadata.namespace
    return {
        "uid": digest([namespace, name]),
        "title": f"recsys {namespace}/{name}",
        "tags": ["recsys"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": _laid_out(rows(system)),
    }


def rows(system: RecommenderSystem) -> tuple[Row, ...]:
    return (_answers(system), _serving(system), _models(system), _quality(system))


def _answers(system: RecommenderSystem) -> Row:
    every = series(system)
    return Row(
        "Answers",
        (
            Panel(
                "Requests by outcome",
                "Answers a second; degraded ones went without a stage.",
                "reqps",
                (
                    Query(
                        f"sum by (outcome) (rate(recsys_gateway_requests_total{every}[$__rate_interval]))",
                        "{{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Time of a recommendation",
                "To the end of the answer.",
                "s",
                _quantiles("recsys_gateway_request_seconds", series(system, RECOMMENDATIONS)),
            ),
            Panel(
                "Time to the first words",
                "Of streamed answers.",
                "s",
                _quantiles("recsys_gateway_first_token_seconds", every),
            ),
            Panel(
                "Degraded answers by stage",
                "rank: tuned model; narrate: base model; retrieve and verify: Milvus and embedder.",
                "reqps",
                (Query(f"sum by (stage) (rate(recsys_gateway_degraded_total{every}[$__rate_interval]))", "{{stage}}"),),
            ),
        ),
    )


def _serving(system: RecommenderSystem) -> Row:
    every = series(system)
    return Row(
        "Queue and pods",
        (
            Panel(
                "Calls that wait",
                "In the gateways, for a pod with a free slot.",
                "short",
                (Query(f"sum by (role) (recsys_gateway_queue_depth{every})", "{{role}}"),),
            ),
            Panel("Wait for a pod", "", "s", _quantiles("recsys_gateway_queue_wait_seconds", every)),
            Panel(
                "Calls in pods",
                "Those of all gateways.",
                "short",
                (Query(f"sum by (role, pool, pod) (recsys_gateway_pod_inflight{every})", "{{role}} {{pool}} {{pod}}"),),
            ),
            Panel(
                "Load of pods",
                "As a gateway sees it, calls of others included.",
                "short",
                (Query(f"max by (role, pool, pod) (recsys_gateway_pod_load{every})", "{{role}} {{pool}} {{pod}}"),),
            ),
            Panel(
                "Age of pods' metrics",
                "Beyond two seconds a gateway goes by its own calls alone.",
                "s",
                (Query(f"max by (role, pool) (recsys_gateway_pod_scrape_age_seconds{every})", "{{role}} {{pool}}"),),
            ),
            Panel(
                "Retries and ejections",
                "Calls sent again before their first byte; pods left alone for a while.",
                "ops",
                (
                    Query(
                        f"sum by (role) (rate(recsys_gateway_retries_total{every}[$__rate_interval]))",
                        "retries {{role}}",
                    ),
                    Query(
                        f"sum by (role) (rate(recsys_gateway_ejections_total{every}[$__rate_interval]))",
                        "ejections {{role}}",
                    ),
                ),
            ),
        ),
    )


def _models(system: RecommenderSystem) -> Row:
    every = series(system)
    calls = f"sum by (role, track, outcome) (rate(recsys_gateway_upstream_requests_total{every}[$__rate_interval]))"
    tokens = f"sum by (stage, kind) (rate(recsys_gateway_tokens_total{every}[$__rate_interval]))"
    return Row(
        "Models",
        (
            Panel(
                "Calls to engines",
                "By track: a canary is judged by these counters.",
                "reqps",
                (Query(calls, "{{role}} {{track}} {{outcome}}"),),
            ),
            Panel("Tokens", "", "short", (Query(tokens, "{{stage}} {{kind}}"),)),
            Panel(
                "Tokens saved",
                "What the plain ranking prompt would have added.",
                "short",
                (Query(f"sum(rate(recsys_gateway_tokens_saved_total{every}[$__rate_interval]))", "saved"),),
            ),
        ),
    )


def _quality(system: RecommenderSystem) -> Row:
    every = series(system)
    mean = (
        f"sum(rate(recsys_gateway_ild_sum{every}[$__rate_interval]))"
        f" / sum(rate(recsys_gateway_ild_count{every}[$__rate_interval]))"
    )
    median = f"histogram_quantile(0.5, sum by (le) (rate(recsys_gateway_ild_bucket{every}[$__rate_interval])))"
    panel = Panel(
        "Diversity of slates",
        "Cosine intra-list diversity: 0 is one item over and over.",
        "percentunit",
        (Query(mean, "mean"), Query(median, "median")),
    )
    return Row("Quality", (panel,))


def _quantiles(metric: str, chosen: str) -> tuple[Query, ...]:
    return tuple(
        Query(f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{chosen}[$__rate_interval])))", name)
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    )


def _laid_out(rows: tuple[Row, ...]) -> list[Manifest]:
    """Rows below each other, panels beside each other."""
    panels: list[Manifest] = []
    numbers, top = count(1), 0
    for row in rows:
        place = {"x": 0, "y": top, "w": WIDTH * COLUMNS, "h": 1}
        panels.append({"id": next(numbers), "type": "row", "title": row.title, "gridPos": place, "panels": []})
        top += 1
        for index, panel in enumerate(row.panels):
            place = {
                "x": index % COLUMNS * WIDTH,
                "y": top + index // COLUMNS * HEIGHT,
                "w": WIDTH,
                "h": HEIGHT,
            }
            panels.append({"id": next(numbers), "gridPos": place, **_panel(panel)})
        top += -(-len(row.panels) // COLUMNS) * HEIGHT
    return panels


def _panel(panel: Panel) -> Manifest:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query.expression, "legendFormat": query.legend}
        for index, query in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
