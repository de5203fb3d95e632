"""The thin edge of the lease: requests, a steady clock, and the fence that every write passes."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from recsys_operator.lease import (
    DURATION_SECONDS,
    RENEW_DEADLINE_SECONDS,
    RETRY_SECONDS,
    Observation,
    given_back,
    taken,
)
from recsys_operator.reconcile.cluster_api import ApiRefused, ApiUnavailable, ClusterApi
from recsys_operator.reconcile.kinds import LEASE, Path

_log = logging.getLogger(__name__)

NAME = "recsys-operator"


class Leader:
    """One candidate for the lease ``NAME`` in ``namespace``."""

    def __init__(self, api: ClusterApi, namespace: str, identity: str) -> None:
        self._api = api
        self._path = Path(LEASE, namespace, NAME)
        self._identity = identity
        self._observation = Observation()
        self._renewed_at: float | None = None

    def may_write(self) -> bool:
        """Asked before every write: a process that was held up finds out before it does harm."""
        return self._renewed_at is not None and time.monotonic() - self._renewed_at < DURATION_SECONDS

    async def acquire(self) -> None:
        """Returns when this candidate holds the lease."""
        _log.info("waiting for the lease", extra={"lease": str(self._path), "identity": self._identity})
        while True:
            if await self._try():
                break
            await asyncio.sleep(RETRY_SECONDS)
        _log.info("holding the lease", extra={"identity": self._identity})

    async def hold(self) -> None:
        """Renews the lease; returns when it is lost."""
        while self._renewed_at is not None:
            await asyncio.sleep(RETRY_SECONDS)
            await self._try()
            if self._renewed_at is not None and time.monotonic() - self._renewed_at > RENEW_DEADLINE_SECONDS:
                self._renewed_at = None
        _log.error("the lease is lost", extra={"identity": self._identity})

    async def give_back(self) -> None:
        """At a shutdown, once nothing is written any more."""
        if not self.may_write():
            return
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                lease = await self._api.get(self._path)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    await self._api.replace(self._path, given_back(lease))
        except (ApiRefused, ApiUnavailable, TimeoutError) as error:
            _log.warning("the lease was not given back", extra={"error": str(error)})
        self._renewed_at = None

    async def _try(self) -> bool:
        """Whether it was taken or renewed. It counts from before the request: the answer may come late."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(RETRY_SECONDS * 2):
                is_ours = await self._take_or_renew(began)
        except (ApiUnavailable, ApiRefused, TimeoutError) as error:
            _log.warning("the lease was not renewed", extra={"error": str(error) or type(error).__name__})
            return False
        if is_ours:
            self._renewed_at = began
        elif self._renewed_at is not None:
            self._renewed_at = None  # somebody else has it: stop now
        return is_ours

    async def _take_or_renew(self, now: float) -> bool:
        at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        lease = await self._api.get(self._path)
        if lease is None:
            await self._api.create(Path(LEASE, self._path.namespace), taken(self._new(), self._identity, at))
            return True
        if not self._observation.may_take(lease, self._identity, now):
            return False
        await self._api.replace(self._path, taken(lease, self._identity, at))
        return True

    def _new(self) -> dict[str, Any]:
        metadata = {"name": self._path.name, "namespace": self._path.namespace}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}
