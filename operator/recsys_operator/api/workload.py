"""What a child's pods are given: resources, places to run, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints
from recsys_gateway.config import Frozen

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(ms|s|m|h))+$")]


class SecretReference(Frozen):
    """One key of a secret in the resource's namespace."""

    name: ObjectName = Field(description="Name of the secret.")
    key: str | None = Field(default=None, description="Key in the secret; absent: the only one, or all of them.")


class LocalObjectReference(Frozen):
    name: ObjectName = Field(description="Name of an object in the resource's namespace.")


class Resources(Frozen):
    """As a container's ``resources``: amounts of cpu, memory, nvidia.com/gpu and others."""

    requests: Mapping[str, Quantity | int] = Field(default_factory=dict, description="What the scheduler sets aside.")
    limits: Mapping[str, Quantity | int] = Field(default_factory=dict, description="What a pod may use at most.")


class EnvironmentVariable(Frozen):
    name: str = Field(min_length=1, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable.")
    value: str = Field(default="", description="Its value. Secrets belong into a secret: see valueFrom.")
    value_from: Mapping[str, JsonValue] | None = Field(
        default=None, description="As in a container: secretKeyRef, configMapKeyRef or fieldRef."
    )


class Placement(Frozen):
    """Where pods run and what else their template holds."""

    resources: Resources = Field(default=Resources(), description="Requests and limits of one pod.")
    shared_memory: Quantity | None = Field(default=None, description="Size of /dev/shm, which multi-GPU engines need.")
    node_selector: Mapping[str, str] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: tuple[Mapping[str, JsonValue], ...] = Field(default=(), description="Taints that pods accept.")
    pod_template: Mapping[str, JsonValue] | None = Field(
        default=None, description="Merged into the pod template last: whatever else a cluster needs."
    )
