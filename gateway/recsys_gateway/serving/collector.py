"""What the balancers know, as Prometheus asks for it: read when it is scraped, so that a pod that is gone is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from recsys_gateway.serving.balancer import clock
from recsys_gateway.serving.fleet import Fleet

_POD = ("role", "pool", "pod")


class FleetCollector(Collector):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily("recsys_gateway_queue_depth", "Calls that wait in the gateway.", labels=("role",))
        ejections = CounterMetricFamily("recsys_gateway_ejections", "Pods left alone for a while.", labels=("role",))
        shed = CounterMetricFamily(
            "recsys_gateway_shed", "Calls refused before they got a pod.", labels=("role", "outcome")
        )
        waiting, ejected, refused = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
        for live in self._fleet:
            role = live.model.role.value
            waiting[role] += live.balancer.waiting
            for dispatcher in live.balancer.dispatchers:
                ejected[role] += dispatcher.tallies.ejections
                for outcome, count in dispatcher.tallies.shed.items():
                    refused[role, outcome.value] += count
        for role, count in waiting.items():
            depth.add_metric((role,), count)
            ejections.add_metric((role,), ejected[role])
        for labels, count in refused.items():
            shed.add_metric(labels, count)
        return [depth, ejections, shed, self._discovery(), *self._pods()]

    def _discovery(self) -> Metric:
        age = GaugeMetricFamily(
            "recsys_gateway_discovery_age_seconds", "Since the API server told of pods.", labels=("namespace",)
        )
        for namespace, seconds in self._fleet.slices.ages.items():
            age.add_metric((namespace,), seconds)
        return age

    def _pods(self) -> list[Metric]:
        inflight = GaugeMetricFamily("recsys_gateway_pod_inflight", "This gateway's calls at a pod.", labels=_POD)
        load = GaugeMetricFamily("recsys_gateway_pod_load", "Calls at a pod, those of others included.", labels=_POD)
        slots = GaugeMetricFamily("recsys_gateway_pod_slots", "Calls that a pod runs at once now.", labels=_POD)
        age = GaugeMetricFamily(
            "recsys_gateway_pod_scrape_age_seconds", "Since the pod's metrics were read.", labels=_POD
        )
        out = GaugeMetricFamily("recsys_gateway_pod_ejected", "1 while a pod gets no calls.", labels=_POD)
        now = clock()
        for live in self._fleet:
            for dispatcher in live.balancer.dispatchers:
                for url, pod in dispatcher.pods.items():
                    labels = (live.model.role.value, pod.spec.pool, url)
                    inflight.add_metric(labels, pod.in_flight)
                    load.add_metric(labels, pod.load(now, dispatcher.gateways))
                    slots.add_metric(labels, pod.capacity.at(now))
                    out.add_metric(labels, float(pod.ejection.out(now)))
                    if pod.sample is not None:
                        age.add_metric(labels, now - pod.sampled_at)
        return [inflight, load, slots, age, out]
