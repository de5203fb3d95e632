"""What surrounds the models: gateway, fine-tuning, model cache, monitoring, network policy."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AnyHttpUrl, Field
from recsys_gateway.config import Admission, Frozen

from recsys_operator.api.models import ModelUri
from recsys_operator.api.workload import Quantity, Resources, SecretReference


class BalancingPolicy(StrEnum):
    WEIGHTED_LEAST_LOAD = "WeightedLeastLoad"


class Balancing(Frozen):
    policy: BalancingPolicy = Field(
        default=BalancingPolicy.WEIGHTED_LEAST_LOAD, description="How a pod is chosen for a call."
    )


class Auth(Frozen):
    secret_ref: SecretReference = Field(description="API keys: one key of the secret a tenant.")


class Gateway(Frozen):
    """The HTTP API in front of everything."""

    replicas: int = Field(default=1, ge=1, description="Number of its pods.")
    image: str | None = Field(default=None, min_length=1, description="Instead of the release's own image.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of one pod.")
    auth: Auth | None = Field(default=None, description="Absent: anybody who reaches the gateway may call it.")
    admission: Admission = Field(default=Admission(), description="How many calls wait, and how long.")
    balancing: Balancing = Field(default=Balancing(), description="How calls are spread over pods.")


class FineTuningMethod(StrEnum):
    LORA = "LoRA"
    FULL = "Full"


class FineTuning(Frozen):
    """Training of the tuned model on the system's own catalogue and interactions."""

    enabled: bool = Field(default=False, description="Whether the tuned model comes from here.")
    schedule: str | None = Field(default=None, min_length=9, description="Cron line of runs, such as 0 3 * * 0.")
    method: FineTuningMethod = Field(default=FineTuningMethod.LORA, description="LoRA, or Full for small models.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of a run's pod.")
    output: ModelUri | None = Field(default=None, description="Where the made model goes: file://, s3:// or pvc://.")


class AccessMode(StrEnum):
    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_ONLY_MANY = "ReadOnlyMany"


class ModelCache(Frozen):
    """A volume that holds the models' files, so that pods start without a download."""

    size: Quantity = Field(default="100Gi", description="Of the volume.")
    storage_class_name: str | None = Field(default=None, min_length=1, description="Of the volume; cannot change.")
    access_mode: AccessMode = Field(default=AccessMode.READ_WRITE_ONCE, description="ReadWriteMany for several nodes.")
    prefetch: bool = Field(default=True, description="Download before pods start.")


class Prometheus(Frozen):
    url: AnyHttpUrl = Field(description="Such as http://prometheus.monitoring.svc:9090.")


class Monitoring(Frozen):
    """Objects of the Prometheus Operator and of Grafana."""

    pod_monitor: bool = Field(default=False, description="Make a PodMonitor.")
    rules: bool = Field(default=False, description="Make a PrometheusRule with alerts.")
    dashboards: bool = Field(default=False, description="Make config maps with Grafana dashboards.")


class NetworkPolicy(Frozen):
    enabled: bool = Field(default=True, description="Let only the system's own pods reach engines and store.")
