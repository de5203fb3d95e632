"""Metrics and logs. Labels are closed sets; neither a query nor a trait of a customer gets into either."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being handled; each line of the log carries it."""

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10, 20, 40, 80)
_WAITS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SHARES = tuple(step / 20 for step in range(21))
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


class Metrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"recsys_gateway_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"recsys_gateway_{name}", text, labels, registry=self.registry, buckets=buckets)

        self.requests = counter("requests_total", "Requests by route and outcome.", "route", "outcome")
        self.request_seconds = histogram("request_seconds", "Time to the end of the answer.", _SECONDS, "route")
        self.first_token_seconds = histogram("first_token_seconds", "Time to the first words of an answer.", _SECONDS)
        self.stage_seconds = histogram("stage_seconds", "Time of each stage of the pipeline.", _SECONDS, "stage")
        self.upstream_requests = counter(
            "upstream_requests_total", "Calls to engines by outcome.", "role", "pool", "track", "outcome"
        )
        self.upstream_seconds = histogram(
            "upstream_seconds", "Time of a call at its pod, to its end.", _SECONDS, "role", "pool", "track"
        )
        self.tokens = counter("tokens_total", "Tokens by stage; kind is prompt or completion.", "stage", "kind")
        self.tokens_saved = counter("tokens_saved_total", "Tokens that the plain ranking prompt would have added.")
        self.degraded = counter("degraded_total", "Stages that did less than they should.", "stage")
        self.rejected_items = counter("rejected_items_total", "Items of the tuned model that were dropped.", "reason")
        self.without_token = counter("items_without_token_total", "Candidates that the tuned model has no token for.")
        self.ild = histogram("ild", "Cosine intra-list diversity of slates.", _SHARES)
        self.queue_wait_seconds = histogram("queue_wait_seconds", "Wait of a call for a pod.", _WAITS, "role")
        self.retries = counter("retries_total", "Calls that were sent again, before their first byte.", "role")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, and what was passed as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def configure_logging(level: int = logging.INFO) -> None:
    """Send every logger's lines to standard error as JSON; libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("recsys_gateway").setLevel(level)
