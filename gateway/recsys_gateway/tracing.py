"""OpenTelemetry spans, where tracing is configured. They carry names, counts and times; never a prompt or a trait.

The exporter is imported only then: a gateway without tracing pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from recsys_gateway.config import Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "recsys-gateway"
_NOTHING: Mapping[str, str] = {}


class Tracer:
    """Makes spans; without settings it makes none."""

    def __init__(self, settings: Tracing | None) -> None:
        self._provider = _provider(settings) if settings else None

    @property
    def on(self) -> bool:
        return self._provider is not None

    def span(self, name: str) -> AbstractContextManager[object]:
        """A part of the request that is being handled."""
        if self._provider is None:
            return nullcontext()
        return self._provider.get_tracer(SERVICE).start_as_current_span(name)

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str]) -> Iterator[None]:
        """The span of a whole request, under the caller's own where ``headers`` name one (``traceparent``)."""
        if self._provider is None:
            yield
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        tracer = self._provider.get_tracer(SERVICE)
        with tracer.start_as_current_span(name, context=extract(headers), kind=SpanKind.SERVER):
            yield

    def headers(self) -> Mapping[str, str]:
        """What an engine needs to go on with the trace."""
        if self._provider is None:
            return _NOTHING
        from opentelemetry.propagate import inject

        carrier: dict[str, str] = {}
        inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what has not been sent yet. Blocks for as long as the collector takes, some seconds at most."""
        if self._provider is not None:
            self._provider.shutdown()


def _provider(settings: Tracing) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    sampler = ParentBasedTraceIdRatio(settings.sample_share)
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=str(settings.endpoint))))
    return provider
