"""What the operator counts about itself, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """A registry of its own, so that tests count from zero."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "recsys_operator_reconciles",
            "Reconciles by outcome: unchanged, changed, invalid, paused, gone, refused, failed.",
            ["outcome"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "recsys_operator_reconcile_seconds",
            "From a key's turn to its end.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._queue_depth = Gauge(
            "recsys_operator_queue_depth", "Systems that are due and have nobody yet.", registry=self.registry
        )
        self.drift_repairs = Counter(
            "recsys_operator_drift_repairs",
            "Children that somebody else deleted or changed and that were put right.",
            ["kind"],
            registry=self.registry,
        )
        self.api_requests = Counter(
            "recsys_operator_api_requests",
            "Requests to the API server, watches aside.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.is_leader = Gauge(
            "recsys_operator_is_leader", "1 while this process holds the lease.", registry=self.registry
        )

    def read_queue_depth(self, depth: Callable[[], float]) -> None:
        self._queue_depth.set_function(depth)

    def text(self) -> bytes:
        return generate_latest(self.registry)
