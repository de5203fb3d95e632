"""How a call can end, and what each end is in HTTP: the one table that every route goes by.

429 where this client has too much going, 503 where there is no capacity for anybody; both say when to come again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """A closed set: it is a label of the metrics."""

    OK = "ok"
    CLIENT_GONE = "client_gone"
    TENANT_FULL = "tenant_full"
    QUEUE_FULL = "queue_full"
    EXPECTED_WAIT = "expected_wait"
    EXPIRED = "expired"
    NO_PODS = "no_pods"
    DRAINING = "draining"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class HttpEnd:
    """``code`` and ``kind`` go into OpenAI's error body; ``retry`` says that Retry-After belongs to it."""

    status: int
    kind: str
    code: str
    message: str
    retry: bool = True


HTTP: dict[Outcome, HttpEnd] = {
    Outcome.TENANT_FULL: HttpEnd(429, "rate_limit_error", "tenant_queue_full", "this key has too many calls waiting"),
    Outcome.QUEUE_FULL: HttpEnd(429, "rate_limit_error", "queue_full", "too many calls are waiting"),
    Outcome.EXPECTED_WAIT: HttpEnd(
        503, "service_unavailable", "expected_wait", "the wait would take too much of the time that this call has"
    ),
    Outcome.EXPIRED: HttpEnd(503, "service_unavailable", "queue_timeout", "no capacity within the time of this call"),
    Outcome.NO_PODS: HttpEnd(503, "service_unavailable", "no_pods", "no pod of this model is there"),
    Outcome.DRAINING: HttpEnd(503, "service_unavailable", "draining", "this gateway is shutting down"),
    Outcome.OVERLOADED: HttpEnd(503, "service_unavailable", "engine_overloaded", "the engines are overloaded"),
    Outcome.UNAVAILABLE: HttpEnd(503, "service_unavailable", "engine_unavailable", "no engine could answer"),
    Outcome.TIMEOUT: HttpEnd(504, "timeout_error", "engine_timeout", "the engine did not answer in time", retry=False),
    Outcome.INVALID: HttpEnd(502, "api_error", "engine_invalid", "the engine broke its protocol", retry=False),
}
"""What is not here is no error of the gateway's: an answer, a refusal by the engine itself, or nobody to tell."""
