"""OpenTelemetry spans, where tracing is configured. They carry names, counts and times; never a prompt or a trait.

The exporter is imported only then: a gateway without tracing pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from recsys_gateway.config import Tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

SERVICE = "recsys-gateway"
_UNTOLD: Mapping[str, Any] = {"record_exception": False, "set_status_on_exception": False}
_NOTHING: Mapping[str, str] = {}


class Tracer:
    """Makes spans; without settings it makes none."""

    def __init__(self, settings: Tracing | None) -> None:
        self._provider = _provider(settings) if settings else None

    @property
    def on(self) -> bool:
        return self._provider is not None

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A part of the request that is being handled."""
        if self._provider is None:
            yield
            return
        tracer = self._provider.get_tracer(SERVICE)
        with tracer.start_as_current_span(name, **_UNTOLD) as span, _failure_named(span):
            yield

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
        """The span of a whole request, under the caller's own where ``headers`` name one (``traceparent``).

        What it gives is called with the span's name, once the route is known: an address may hold a customer's id.
        """
        if self._provider is None:
            yield lambda name: None
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        tracer, caller = self._provider.get_tracer(SERVICE), extract(headers)
        of_server = tracer.start_as_current_span("request", context=caller, kind=SpanKind.SERVER, **_UNTOLD)
        with of_server as span, _failure_named(span):
            yield span.update_name

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


@contextmanager
def _failure_named(span: Span) -> Iterator[None]:
    """The kind of an error that ends ``span``, and no more of it: its message may hold what a customer asked for."""
    try:
        yield
    except Exception as error:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        raise


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
