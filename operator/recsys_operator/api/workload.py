"""What a child's pods are given: resources, places to run, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, JsonValue, StringConstraints
from recsys_gateway.document import Frozen

from recsys_operator.api.rules import KeyedBy, Rule, Ruled

_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = r"([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
HTTP_URL = rf"^https?://([^\s/?#@]+@)?{_HOST}(:{_PORT})?([/?#]\S*)?$"

Quantity = Annotated[
    str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$", max_length=32)
]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Key = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(ms|s|m|h))+$", max_length=32)]
HttpUrl = Annotated[str, StringConstraints(pattern=HTTP_URL, max_length=1000)]
Host = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]
Image = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Labels = Annotated[Mapping[str, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=64)]
Annotations = Annotated[Mapping[str, str], Field(max_length=64)]
Amounts = Annotated[Mapping[str, Quantity | Annotated[int, Field(ge=0)]], Field(max_length=32)]


class SecretReference(Frozen):
    """One key of a secret in the resource's namespace."""

    name: ObjectName = Field(description="Name of the secret.")
    key: Key | None = Field(default=None, description="Key in the secret; absent: the only one, or all of them.")


class ConfigMapReference(Frozen):
    """One key of a config map in the resource's namespace."""

    name: ObjectName = Field(description="Name of the config map.")
    key: Key = Field(default="ca.crt", description="Key in the config map.")


class LocalObjectReference(Frozen):
    name: ObjectName = Field(description="Name of an object in the resource's namespace.")


class Resources(Frozen):
    """As a container's ``resources``: amounts of cpu, memory, nvidia.com/gpu and others."""

    requests: Amounts = Field(default_factory=dict, description="What the scheduler sets aside.")
    limits: Amounts = Field(default_factory=dict, description="What a pod may use at most.")


class EnvironmentVariable(Ruled):
    name: str = Field(
        min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable."
    )
    value: str = Field(
        default="", max_length=32768, description="Its value. Secrets belong into a secret: see valueFrom."
    )
    value_from: Mapping[str, JsonValue] | None = Field(
        default=None, description="As in a container: secretKeyRef, configMapKeyRef or fieldRef."
    )

    RULES: ClassVar = (
        Rule(
            "!has(self.valueFrom) || self.value == ''",
            "value and valueFrom exclude each other: give one of them",
            lambda variable: variable.value_from is None or not variable.value,
        ),
    )


Environment = Annotated[tuple[EnvironmentVariable, ...], KeyedBy(("name",)), Field(max_length=128)]


class TolerationOperator(StrEnum):
    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Frozen):
    """As in a pod: a taint that its pods accept."""

    key: str | None = Field(
        default=None, max_length=316, description="The taint's key; absent with Exists: all taints."
    )
    operator: TolerationOperator | None = Field(default=None, description="Equal (the default) or Exists.")
    value: str | None = Field(default=None, max_length=63, description="The taint's value, with Equal.")
    effect: TaintEffect | None = Field(default=None, description="Which of the taint's effects; absent: all of them.")
    toleration_seconds: int | None = Field(
        default=None, description="With NoExecute: how long a pod stays once the node is tainted; absent: for ever."
    )


class Placement(Ruled):
    """Where pods run and what else their template holds."""

    resources: Resources = Field(default=Resources(), description="Requests and limits of one pod.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32, description="Taints that pods accept.")
    pod_template: Mapping[str, JsonValue] | None = Field(
        default=None, description="Merged into the pod template last: whatever else a cluster needs."
    )
