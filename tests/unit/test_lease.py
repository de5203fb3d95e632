"""Who may take the lease."""

from __future__ import annotations

from typing import Any

from recsys_operator.lease import (
    DURATION_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_SECONDS,
    Observation,
    given_back,
    taken,
)

TIME = "2026-01-01T00:00:00.000000Z"


def lease(holder: str | None, version: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "recsys-operator", "resourceVersion": str(version)},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec},
    }


def test_a_free_lease_and_our_own_may_be_taken() -> None:
    assert Observation().may_take(lease(None), "me", now=0)
    assert Observation().may_take(lease(""), "me", now=0)
    assert Observation().may_take(lease("me"), "me", now=0)


def test_a_lease_of_another_may_be_taken_when_it_was_not_renewed_for_its_duration() -> None:
    seen = Observation()

    assert not seen.may_take(lease("other"), "me", now=100)
    assert not seen.may_take(lease("other"), "me", now=115)
    assert seen.may_take(lease("other"), "me", now=115.1)


def test_each_renewal_that_is_seen_starts_the_wait_anew() -> None:
    seen = Observation()
    seen.may_take(lease("other", version=1), "me", now=0)
    seen.may_take(lease("other", version=2), "me", now=14)

    assert not seen.may_take(lease("other", version=2), "me", now=28)


def test_the_holder_stops_before_anybody_else_may_begin() -> None:
    longest_renewal = 2 * RETRY_SECONDS
    assert RENEW_DEADLINE_SECONDS + longest_renewal < DURATION_SECONDS


def test_transitions_are_counted_and_a_renewal_is_none() -> None:
    first = taken(lease("other", leaseTransitions=3), "me", TIME)
    second = taken(first, "me", "2026-01-01T00:00:02.000000Z")

    assert (first["spec"]["leaseTransitions"], second["spec"]["leaseTransitions"]) == (4, 4)
    assert second["spec"]["acquireTime"] == TIME


def test_a_lease_that_is_given_back_is_free_at_once() -> None:
    assert Observation().may_take(given_back(lease("other")), "me", now=0)
