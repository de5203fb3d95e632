"""Which endpoint takes the next call: the one with the fewest calls in flight for its weight.

This is the seam of balancing and admission: a pick returns a lease, and the lease gives the place back on every path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recsys_gateway.config import ServedModel
from recsys_gateway.serving.failures import UpstreamUnavailable


@dataclass(slots=True)
class EndpointState:
    """One engine process. ``in_flight`` counts the calls that this gateway has open there."""

    pool: str
    url: str
    weight: float
    in_flight: int = 0

    def calls(self) -> float:
        """``in_flight``, as a gauge reads it."""
        return self.in_flight


class Endpoints:
    """The endpoints of one model. Not for use from several threads: picking and counting is one step on the loop."""

    def __init__(self, model: ServedModel) -> None:
        self._states = [
            EndpointState(pool.name, str(endpoint.url).rstrip("/"), pool.weight)
            for pool in model.pools
            for endpoint in pool.endpoints
        ]

    def __iter__(self) -> Iterator[EndpointState]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    @contextmanager
    def lease(self) -> Iterator[EndpointState]:
        """The least loaded endpoint, counted as busy until the block is left.

        Raises:
            UpstreamUnavailable: the model has no endpoint.
        """
        if not self._states:
            raise UpstreamUnavailable("no endpoint")
        state = min(self._states, key=lambda each: (each.in_flight + 1) / each.weight)
        state.in_flight += 1
        try:
            yield state
        finally:
            state.in_flight -= 1
