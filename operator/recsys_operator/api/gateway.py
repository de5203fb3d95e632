"""``spec.gateway``: the HTTP API's pods, who may call it, and how it is reached from outside."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints
from recsys_gateway.config import Admission, Cors, PolicyName, Tracing
from recsys_gateway.document import Frozen

from recsys_operator.api.rules import Rule, Ruled
from recsys_operator.api.workload import Annotations, Host, Image, LocalObjectReference, ObjectName, Placement

SectionName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class Balancing(Frozen):
    """How calls are spread over pods (docs/design/serving.md)."""

    policy: PolicyName = Field(default=PolicyName.WEIGHTED_LEAST_LOAD, description="How a pod is chosen for a call.")
    patience: float = Field(
        default=0.06, ge=0, description="Of WeightedLeastLoad: how much a call waits for a faster pod. 0: never."
    )
    retry_budget: float = Field(default=0.1, ge=0, le=1, description="Calls that may be sent again, per call.")


class Auth(Ruled):
    """API keys: each key of a secret is a tenant, its value what the tenant sends as its bearer token."""

    secret_ref: LocalObjectReference = Field(description="Keys that may ask.")
    admin_secret_ref: LocalObjectReference | None = Field(
        default=None, description="Keys that may also change the catalogue; absent: nobody may."
    )

    RULES: ClassVar = (
        Rule(
            "!has(self.adminSecretRef) || self.adminSecretRef.name != self.secretRef.name",
            "adminSecretRef must be another secret than secretRef: else everybody who may ask may change the catalogue",
            lambda auth: auth.admin_secret_ref is None or auth.admin_secret_ref.name != auth.secret_ref.name,
        ),
    )


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class GatewayService(Frozen):
    """The Service in front of the gateway's pods."""

    type: ServiceType = Field(default=ServiceType.CLUSTER_IP, description="ClusterIP, NodePort or LoadBalancer.")
    annotations: Annotations = Field(default_factory=dict, description="Such as a load balancer wants.")


class Ingress(Frozen):
    """An Ingress that leads to the gateway."""

    host: Host = Field(description="Name under which the gateway is reached, such as shop.example.org.")
    class_name: ObjectName | None = Field(default=None, description="Ingress class; absent: the cluster's default.")
    tls_secret_ref: LocalObjectReference | None = Field(
        default=None, description="Secret with tls.crt and tls.key; absent: no TLS."
    )
    annotations: Annotations = Field(default_factory=dict, description="Such as the ingress controller wants.")


class ParentReference(Frozen):
    """A Gateway of the Gateway API."""

    name: ObjectName = Field(description="Name of the Gateway.")
    namespace: ObjectName | None = Field(default=None, description="Its namespace; absent: the resource's own.")
    section_name: SectionName | None = Field(default=None, description="One of its listeners; absent: all of them.")


class HttpRoute(Frozen):
    """An HTTPRoute of the Gateway API that leads to the gateway."""

    parent_refs: tuple[ParentReference, ...] = Field(
        min_length=1, max_length=32, description="The Gateways that take the calls."
    )
    hostnames: tuple[Host, ...] = Field(default=(), max_length=16, description="Names it answers to; absent: all.")
    annotations: Annotations = Field(default_factory=dict, description="Such as the Gateway's controller wants.")


class Gateway(Placement):
    """The HTTP API in front of everything."""

    replicas: int = Field(default=1, ge=1, le=1000, description="Number of its pods; they share the models' slots.")
    image: Image | None = Field(default=None, description="Instead of the release's own image.")
    auth: Auth | None = Field(default=None, description="Absent: anybody who reaches the gateway may call it.")
    admission: Admission = Field(default=Admission(), description="How many calls wait, and how long.")
    balancing: Balancing = Field(default=Balancing(), description="How calls are spread over pods.")
    cors: Cors | None = Field(default=None, description="Web pages of other origins that may ask; absent: none.")
    tracing: Tracing | None = Field(default=None, description="Where OpenTelemetry spans go; absent: nowhere.")
    service: GatewayService = Field(default=GatewayService(), description="The Service in front of its pods.")
    ingress: Ingress | None = Field(default=None, description="Reach it from outside by an Ingress.")
    http_route: HttpRoute | None = Field(default=None, description="Reach it from outside by the Gateway API.")

    RULES: ClassVar = (
        Rule(
            "!(has(self.ingress) && has(self.httpRoute))",
            "ingress and httpRoute exclude each other: give the one that the cluster has a controller for",
            lambda gateway: gateway.ingress is None or gateway.http_route is None,
        ),
    )
