"""Pure: who may act. One replica holds a Lease; the others wait until it was not renewed for its whole duration.

kubernetes.aio brings a leader election of its own. It is not used: its requests have no time limit, so a leader whose
request hangs acts on beyond its lease; an error below HTTP ends it; it gives nothing back at a shutdown, so that an
upgrade waits for the lease to run out; and it does not see when the work that it guards has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DURATION_SECONDS = 15.0
"""Others wait this long after the last renewal that they saw."""
RENEW_DEADLINE_SECONDS = 10.0
"""The holder stops when it could not renew for this long: well before anybody else may begin."""
RETRY_SECONDS = 2.0
"""Between two renewals, or two tries to get it."""


@dataclass(slots=True)
class Observation:
    """What a candidate knows of the lease. Ages are taken by its own steady clock: clocks of machines differ."""

    version: str | None = None
    seen_at: float = 0.0

    def may_take(self, lease: dict[str, Any], identity: str, now: float) -> bool:
        """Whether nobody else holds ``lease``: it is free, our own, or was not renewed for its duration."""
        version = str(lease["metadata"].get("resourceVersion"))
        if version != self.version:
            self.version, self.seen_at = version, now
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, "", identity):
            return True
        return now - self.seen_at > float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)


def taken(lease: dict[str, Any], identity: str, time: str) -> dict[str, Any]:
    """``lease`` in the hands of ``identity``. ``time``: RFC 3339 with microseconds."""
    spec = lease.get("spec") or {}
    is_ours = spec.get("holderIdentity") == identity
    held = {
        "holderIdentity": identity,
        "leaseDurationSeconds": int(DURATION_SECONDS),
        "acquireTime": spec.get("acquireTime") if is_ours else time,
        "renewTime": time,
        "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if is_ours else 1),
    }
    return {**lease, "spec": held}


def given_back(lease: dict[str, Any]) -> dict[str, Any]:
    """Free at once, so that an upgrade does not wait for it to run out."""
    return {**lease, "spec": {**(lease.get("spec") or {}), "holderIdentity": "", "leaseDurationSeconds": 1}}
