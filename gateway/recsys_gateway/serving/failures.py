"""How a call to an engine fails. Whoever calls decides what to do by the class alone; messages carry no prompt text."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_gateway.serving.admission.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class EngineError:
    """What an engine said instead of an answer: for the client that asked, and for nobody else."""

    status: int
    body: bytes


class UpstreamError(Exception):
    """A call to an engine that gave no usable answer. ``outcome``: what it is in the table of outcomes."""

    outcome = Outcome.UNAVAILABLE

    def __init__(self, message: str, said: EngineError | None = None, retry_after: int = 1) -> None:
        super().__init__(message)
        self.said = said
        self.retry_after = retry_after


class UpstreamUnavailable(UpstreamError):
    """No engine could be reached, or it broke off: connection refused or lost, status 5xx."""


class UpstreamOverloaded(UpstreamError):
    """The engine is too busy, or still loading."""

    outcome = Outcome.OVERLOADED


class UpstreamTimeout(UpstreamError):
    """The engine did not answer in time."""

    outcome = Outcome.TIMEOUT


class UpstreamRefused(UpstreamError):
    """The engine refused the request (status 4xx): another try would be refused as well."""

    outcome = Outcome.REFUSED


class UpstreamInvalid(UpstreamError):
    """The engine answered with success, but not with what its protocol says."""

    outcome = Outcome.INVALID


OUTCOMES: dict[type[UpstreamError], str] = {
    UpstreamUnavailable: "unavailable",
    UpstreamOverloaded: "overloaded",
    UpstreamTimeout: "timeout",
    UpstreamRefused: "refused",
    UpstreamInvalid: "invalid",
}


def outcome_of(error: UpstreamError) -> str:
    """The label of ``error``: one of a closed set."""
    return OUTCOMES.get(type(error), "unavailable")


def not_admitted(outcome: Outcome, retry_after: int) -> UpstreamError:
    """The gateway itself found no place for the call."""
    kind = UpstreamUnavailable if outcome is Outcome.NO_PODS else UpstreamOverloaded
    error = kind(f"not admitted: {outcome.value}", retry_after=retry_after)
    error.outcome = outcome
    return error
