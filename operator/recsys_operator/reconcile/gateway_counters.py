"""The thin edge of the canary's verdict: what each gateway counted of its calls, from its pods or from Prometheus."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from recsys_gateway.config import Role, Track

from recsys_operator.components.labels import COMPONENT
from recsys_operator.components.manifest import Manifest
from recsys_operator.reconcile.canary_verdict import Counters, Finding
from recsys_operator.reconcile.problems import is_ready
from recsys_operator.reconcile.work_queue import Key

_log = logging.getLogger(__name__)

CALLS = "recsys_gateway_upstream_requests_total"
LATENCIES = "recsys_gateway_upstream_seconds_bucket"
LOOK_SECONDS = 10.0
"""Between two looks at a canary's counters, unless another time is given."""
READ_SECONDS = 5.0


class Sample(NamedTuple):
    """One series at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


class Unreadable(Exception):
    """No gateway's counters could be read."""


def counters(samples: Iterable[Sample], role: Role) -> Counters:
    """Of the canary of ``role``."""
    outcomes: defaultdict[str, float] = defaultdict(float)
    buckets: defaultdict[float, float] = defaultdict(float)
    for sample in samples:
        if sample.labels.get("role") != role.value or sample.labels.get("track") != Track.CANARY.value:
            continue
        if sample.name == CALLS:
            outcomes[sample.labels.get("outcome", "")] += sample.value
        elif sample.name == LATENCIES:
            buckets[float(sample.labels["le"])] += sample.value
    return Counters(dict(outcomes), dict(buckets))


def parse_text(text: str) -> list[Sample]:
    """Prometheus' text format. ValueError where it is not that."""
    return [
        Sample(sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in (CALLS, LATENCIES)
    ]


def parse_vector(answer: Any) -> dict[str, list[Sample]]:
    """Prometheus' answer to an instant query, by the target that it was scraped from."""
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for series in answer["data"]["result"]:
        labels = series["metric"]
        target = labels.get("pod") or labels.get("instance") or ""
        found[target].append(Sample(labels["__name__"], labels, float(series["value"][1])))
    return dict(found)


@dataclass(slots=True)
class _Watched:
    """A canary between two looks."""

    before: dict[str, Counters] = field(default_factory=dict)
    latencies: Mapping[float, float] = field(default_factory=dict)
    looked_at: datetime | None = None


class CanaryWatch:
    """Remembers the totals of each source since the last look, per canary."""

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self.look_seconds = look_seconds
        self._watched: dict[tuple[Key, Role, str], _Watched] = {}
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def forget(self, system: Key) -> None:
        for known in [known for known in self._watched if known[0] == system]:
            del self._watched[known]

    def is_due(self, system: Key, role: Role, digest: str, now: datetime) -> bool:
        """A look writes status, and what is written brings the next reconcile: so looks keep their distance."""
        watched = self._watched.get((system, role, digest))
        if watched is None or watched.looked_at is None:
            return True
        return (now - watched.looked_at).total_seconds() >= self.look_seconds * 0.9

    async def look(
        self, system: Key, role: Role, digest: str, pods: Iterable[Manifest], prometheus: str | None, now: datetime
    ) -> Finding | None:
        """What came since the last look; None where nothing could be read."""
        watched = self._watched.setdefault((system, role, digest), _Watched())
        gateways = [pod for pod in pods if _is_gateway(pod)]
        try:
            if prometheus is not None:
                read = await self._ask_prometheus(prometheus, system, role)
            else:
                read = await self._ask_pods(gateways)
        except Unreadable as problem:
            _log.warning("canary not read", extra={"system": str(system), "role": role.value, "error": str(problem)})
            watched.looked_at = now
            return None
        starts = {pod["metadata"]["name"]: _started(pod) for pod in gateways}
        added = Counters()
        for source, samples in read.items():
            totals = counters(samples, role)
            added += totals.since(self._baseline(watched, source, starts.get(source)))
            watched.before[source] = totals
        watched.looked_at = now
        watched.latencies = (Counters(buckets=watched.latencies) + added).buckets
        return Finding(added, watched.latencies)

    @staticmethod
    def _baseline(watched: _Watched, source: str, started: datetime | None) -> Counters | None:
        """A gateway that started since the last look counted from zero; of one that is merely new here nothing is."""
        if source in watched.before:
            return watched.before[source]
        is_new = started is not None and watched.looked_at is not None and started > watched.looked_at
        return Counters() if is_new else None

    async def _ask_pods(self, pods: list[Manifest]) -> dict[str, list[Sample]]:
        addresses = {pod["metadata"]["name"]: _metrics_url(pod) for pod in pods if is_ready(pod)}
        answers = await asyncio.gather(*(self._text(url) for url in addresses.values()), return_exceptions=True)
        found, wrong = {}, []
        for name, answer in zip(addresses, answers, strict=True):
            if isinstance(answer, BaseException):
                wrong.append(f"{addresses[name]}: {answer or type(answer).__name__}")
            else:
                found[name] = parse_text(answer)
        if not found:
            raise Unreadable("; ".join(wrong) or "no gateway pod is ready")
        return found

    async def _ask_prometheus(self, url: str, system: Key, role: Role) -> dict[str, list[Sample]]:
        wanted = (
            f'{{__name__=~"{CALLS}|{LATENCIES}",namespace="{system.namespace}",recsys_io_system="{system.name}",'
            f'role="{role.value}",track="{Track.CANARY.value}"}}'
        )
        try:
            async with self._client().get(f"{url.rstrip('/')}/api/v1/query", params={"query": wanted}) as response:
                response.raise_for_status()
                return parse_vector(await response.json())
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            raise Unreadable(f"{url}: {error or type(error).__name__}") from error

    async def _text(self, url: str) -> str:
        async with self._client().get(url) as response:
            response.raise_for_status()
            return await response.text()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=READ_SECONDS))
        return self._session


def _is_gateway(pod: Manifest) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return pod["kind"] == "Pod" and labels.get(COMPONENT) == "gateway" and "deletionTimestamp" not in pod["metadata"]


def _metrics_url(pod: Manifest) -> str:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    named = next((port for port in ports if port.get("name") in ("http", "metrics")), ports[0] if ports else None)
    number = 8080 if named is None else named["containerPort"]
    address = pod.get("status", {}).get("podIP", "")
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{number}/metrics"


def _started(pod: Manifest) -> datetime | None:
    text = pod.get("status", {}).get("startTime")
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
