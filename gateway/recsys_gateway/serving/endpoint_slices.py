"""EndpointSlices of a cluster -> the pods that calls may go to. Pure: documents of the Kubernetes API go in as JSON.

A Service's labels stand on its EndpointSlices too (the cluster's own controller copies them), so one watch of a
namespace serves every pool, and the gateways' own Service as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from recsys_gateway.config import PodService, ServiceReference

DEFAULT_PORT_NAME = "http"
CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})
"""Kinds of events that tell of a slice; BOOKMARK tells only how far the watch has come."""

_FAMILIES = ("IPv4", "IPv6", "FQDN")
"""A pod with addresses of several families has a slice for each: it is called by the first of these."""


class NotASlice(ValueError):
    """A document that is no EndpointSlice."""


@dataclass(frozen=True, slots=True)
class SlicePort:
    name: str
    number: int
    scheme: str


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """``pod``: the pod's own id, which may stand in several slices; empty where nobody said."""

    address: str
    pod: str
    ready: bool
    terminating: bool

    @property
    def accepting(self) -> bool:
        """A terminating pod takes no new call, even where its Service publishes unready addresses as ready."""
        return self.ready and not self.terminating


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """What is used of one."""

    name: str
    labels: Mapping[str, str]
    family: str
    ports: Sequence[SlicePort]
    endpoints: Sequence[SliceEndpoint]


@dataclass(frozen=True, slots=True)
class FoundPod:
    """A pod by its address. One that is not ``accepting`` keeps the calls that it has."""

    url: str
    accepting: bool


def parse_slice(document: Mapping[str, Any]) -> EndpointSlice:
    """
    Raises:
        NotASlice: the document is none.
    """
    try:
        metadata = document["metadata"]
        family = document["addressType"]
        return EndpointSlice(
            name=metadata["name"],
            labels=dict(metadata.get("labels") or {}),
            family=family,
            ports=[_port(each) for each in document.get("ports") or () if each.get("port") is not None],
            endpoints=[_endpoint(each) for each in document.get("endpoints") or () if each.get("addresses")],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotASlice(f"no EndpointSlice: {type(error).__name__}: {error}") from None


def selected(slices: Iterable[EndpointSlice], reference: ServiceReference) -> list[EndpointSlice]:
    """Those of the Services that have all the labels of ``reference``, in the order of their names."""
    wanted = reference.selector.items()
    return sorted((each for each in slices if wanted <= each.labels.items()), key=lambda each: each.name)


def common_labels(references: Iterable[ServiceReference]) -> dict[str, str]:
    """The labels that every one of ``references`` asks for: what a single watch may be narrowed to."""
    selectors = [set(reference.selector.items()) for reference in references]
    return dict(sorted(set.intersection(*selectors))) if selectors else {}


def pods_of(slices: Iterable[EndpointSlice], service: PodService, known: Set[str] = frozenset()) -> list[FoundPod]:
    """The pods of ``service``, by their addresses.

    A pod that is not ready has no place here before it was ready once (``known``: addresses that were given before);
    after that it stays, without new calls, so that what was learnt of it is not lost with each failed probe.
    """
    found: dict[str, tuple[tuple[int, bool], FoundPod]] = {}
    for each in selected(slices, service):
        port = _wanted_port(each.ports, service.port)
        if port is None or each.family not in _FAMILIES:
            continue
        for endpoint in each.endpoints:
            host = f"[{endpoint.address}]" if each.family == "IPv6" else endpoint.address
            pod = FoundPod(f"{port.scheme}://{host}:{port.number}", endpoint.accepting)
            if not pod.accepting and not endpoint.terminating and pod.url not in known:
                continue
            # While a pod moves from one slice to another both have it, and one of them may be behind.
            order = (_FAMILIES.index(each.family), not pod.accepting)
            key = endpoint.pod or pod.url
            if key not in found or order < found[key][0]:
                found[key] = order, pod
    return sorted((pod for _, pod in found.values()), key=lambda pod: pod.url)


def count_ready(slices: Iterable[EndpointSlice], reference: ServiceReference) -> int:
    """How many pods of the Services are ready."""
    return len({e.pod or e.address for each in selected(slices, reference) for e in each.endpoints if e.accepting})


def missing_port(slices: Iterable[EndpointSlice], service: PodService) -> str | None:
    """Why pods of ``service`` cannot be called though there are some; None where they can."""
    for each in selected(slices, service):
        if each.endpoints and _wanted_port(each.ports, service.port) is None:
            named = ", ".join(f"{port.name or 'unnamed'}={port.number}" for port in each.ports) or "none"
            return f"EndpointSlice {each.name} has no port {service.port or DEFAULT_PORT_NAME}; its ports: {named}"
    return None


class SliceSet:
    """The EndpointSlices of one namespace, as the API server tells of them."""

    def __init__(self) -> None:
        self._slices: dict[str, EndpointSlice] = {}

    @property
    def slices(self) -> list[EndpointSlice]:
        return list(self._slices.values())

    def replace(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """What a list has found is all there is.

        Raises:
            NotASlice: one of them is none; nothing is changed then.
        """
        self._slices = {each.name: each for each in map(parse_slice, documents)}

    def apply(self, kind: str, document: Mapping[str, Any]) -> None:
        """One of ``CHANGES``.

        Raises:
            NotASlice: the event tells of none.
        """
        changed = parse_slice(document)
        if kind == "DELETED":
            self._slices.pop(changed.name, None)
        else:
            self._slices[changed.name] = changed


def _port(port: Mapping[str, Any]) -> SlicePort:
    scheme = "https" if str(port.get("appProtocol") or "").lower() == "https" else "http"
    return SlicePort(str(port.get("name") or ""), int(port["port"]), scheme)


def _endpoint(endpoint: Mapping[str, Any]) -> SliceEndpoint:
    """Conditions may be absent: `ready` then means yes, `terminating` no."""
    conditions, target = endpoint.get("conditions") or {}, endpoint.get("targetRef") or {}
    return SliceEndpoint(
        address=str(endpoint["addresses"][0]),
        pod=str(target.get("uid") or ""),
        ready=conditions.get("ready") is not False,
        terminating=conditions.get("terminating") is True,
    )


def _wanted_port(ports: Sequence[SlicePort], wanted: str | int | None) -> SlicePort | None:
    if wanted is None:
        named = next((port for port in ports if port.name == DEFAULT_PORT_NAME), None)
        return named or (ports[0] if len(ports) == 1 else None)
    return next((port for port in ports if wanted in (port.name, port.number)), None)
