"""What surrounds the models: fine-tuning, model cache, monitoring, network policy, ways out of the cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints
from recsys_gateway.document import Frozen

from recsys_operator.api.models import ModelUri
from recsys_operator.api.retrieval import SIZE_GROWS, STORAGE_CLASS_STAYS
from recsys_operator.api.rules import Rule, Ruled
from recsys_operator.api.workload import Duration, HttpUrl, Labels, Placement, Quantity

Cidr = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", max_length=43)]


class FineTuningMethod(StrEnum):
    LORA = "LoRA"
    FULL = "Full"


class FineTuning(Placement):
    """Training of the tuned model on the system's own catalogue and interactions."""

    enabled: bool = Field(default=False, description="Whether the tuned model comes from here.")
    schedule: str | None = Field(
        default=None, min_length=9, max_length=100, description="Cron line of runs, such as 0 3 * * 0."
    )
    method: FineTuningMethod = Field(default=FineTuningMethod.LORA, description="LoRA, or Full for small models.")
    output: ModelUri | None = Field(default=None, description="Where the made model goes: file://, s3:// or pvc://.")


class AccessMode(StrEnum):
    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_ONLY_MANY = "ReadOnlyMany"


class ModelCache(Ruled):
    """A volume that holds the models' files, so that pods start without a download."""

    size: Quantity = Field(default="100Gi", description="Of the volume; it may grow, never shrink.")
    storage_class_name: str | None = Field(
        default=None, min_length=1, max_length=253, description="Of the volume; cannot change."
    )
    access_mode: AccessMode = Field(
        default=AccessMode.READ_WRITE_ONCE,
        description="ReadWriteMany for models with several pods; cannot change.",
    )
    prefetch: bool = Field(default=True, description="Download before pods start.")

    RULES: ClassVar = (
        SIZE_GROWS,
        STORAGE_CLASS_STAYS,
        Rule(
            "self.accessMode == oldSelf.accessMode",
            "accessMode cannot change: a volume keeps it; take modelCache away, delete its claim, then add it anew",
        ),
    )


class Prometheus(Frozen):
    """A Prometheus server that scrapes the engines' pods."""

    url: HttpUrl = Field(description="Such as http://prometheus.monitoring.svc:9090.")


class Proxy(Ruled):
    """The way to the internet for whatever downloads: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the pods."""

    http: HttpUrl | None = Field(default=None, description="Proxy for http:// addresses.")
    https: HttpUrl | None = Field(default=None, description="Proxy for https:// addresses.")
    no_proxy: tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...] = Field(
        default=(),
        max_length=64,
        description="Hosts and networks that are reached without it; the cluster's own names are added.",
    )

    RULES: ClassVar = (
        Rule(
            "has(self.http) || has(self.https)",
            "give http, https, or both; leave proxy out where there is none",
            lambda proxy: proxy.http is not None or proxy.https is not None,
        ),
    )


class Monitoring(Frozen):
    """Objects of the Prometheus Operator and of Grafana."""

    pod_monitor: bool = Field(default=False, description="Make a PodMonitor.")
    rules: bool = Field(default=False, description="Make a PrometheusRule with alerts.")
    dashboards: bool = Field(default=False, description="Make config maps with Grafana dashboards.")
    interval: Duration = Field(default="15s", description="Time between two scrapes of the PodMonitor.")
    labels: Labels = Field(
        default_factory=dict, description="Of these objects, for a Prometheus that selects by label."
    )


class LabelSelector(Frozen):
    """Labels that all must be there; none at all selects everything."""

    match_labels: Labels = Field(default_factory=dict, description="Labels and their values.")


class IpBlock(Frozen):
    """Addresses outside the cluster."""

    cidr: Cidr = Field(description="Such as 10.0.0.0/8.")
    excluded: tuple[Cidr, ...] = Field(
        default=(), max_length=64, alias="except", description="Parts that are left out."
    )


class NetworkPeer(Ruled):
    """As in a NetworkPolicy: pods by their labels and their namespace's, or a block of addresses."""

    pod_selector: LabelSelector | None = Field(default=None, description="Labels of the pods; absent: all of them.")
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Labels of their namespace; absent: the resource's own namespace."
    )
    ip_block: IpBlock | None = Field(default=None, description="Instead of pods: addresses.")

    RULES: ClassVar = (
        Rule(
            "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
            "give ipBlock, or podSelector and namespaceSelector (one or both)",
            lambda peer: (
                (peer.ip_block is not None) != (peer.pod_selector is not None or peer.namespace_selector is not None)
            ),
        ),
    )


Peers = Annotated[tuple[NetworkPeer, ...], Field(max_length=32)]


class NetworkPolicy(Frozen):
    """Who may reach the system's pods."""

    enabled: bool = Field(default=True, description="Let only the system's own pods reach engines and store.")
    gateway_from: Peers = Field(default=(), description="Who may reach the gateway; absent: everybody.")
    metrics_from: Peers = Field(
        default=(), description="Who may scrape the metrics of the engines, embedder and store, such as Prometheus."
    )
