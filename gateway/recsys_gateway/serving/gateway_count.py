"""How many gateways share the pods, counted by the EndpointSlices of their own Service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from recsys_gateway.config import ServiceReference
from recsys_gateway.serving.endpoint_slices import EndpointSlice, count_ready
from recsys_gateway.serving.slice_watch import Follower, SliceWatches

log = logging.getLogger(__name__)


class GatewayCount:
    """``counted`` gets the number whenever it changes, and None where it is not counted any more."""

    def __init__(self, slices: SliceWatches, counted: Callable[[int | None], None]) -> None:
        self._slices = slices
        self._counted = counted
        self._follower: Follower | None = None
        self._known: int | None = None

    def follow(self, reference: ServiceReference | None) -> None:
        """Count the endpoints of ``reference`` from now on."""
        if self._follower is not None:
            if self._follower.reference == reference:
                return
            self._slices.forget(self._follower)
            self._follower = None
        if reference is None:
            self._take(None)
        else:
            self._follower = Follower(reference, lambda slices: self._on_slices(slices, reference))
            self._slices.follow(self._follower)

    def _on_slices(self, slices: Sequence[EndpointSlice], reference: ServiceReference) -> None:
        # One that is not ready gets no calls: where none is, this one is alone with those that still reach it.
        self._take(max(1, count_ready(slices, reference)))

    def _take(self, count: int | None) -> None:
        if count == self._known:
            return
        if count is not None:
            log.info("gateways counted", extra={"gateways": count})
        self._known = count
        self._counted(count)
