"""Tracing by OpenTelemetry: spans are sent in batches as OTLP over HTTP, by objects of our own and no global ones."""

from http import HTTPMethod

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from satchel import __version__
from satchel.gateway.telemetry.spans import EndSpan, RequestSpan

_KNOWN_METHODS = frozenset(HTTPMethod)
_EXPORT_TIMEOUT_SECONDS = 5.0


class OtelTracing:
    """See `Tracing`. What cannot be sent is dropped; calls never wait for it."""

    def __init__(self, endpoint: str, sample_ratio: float) -> None:
        resource = Resource.create({"service.name": "satchel-gateway", "service.version": __version__})
        sampler = ParentBased(TraceIdRatioBased(sample_ratio))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("satchel", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, method: str, scheme: str, traceparent: str | None) -> RequestSpan:
        # Without the tracestate, which is any caller's own words.
        carrier = {"traceparent": traceparent} if traceparent is not None else {}
        method = method if method in _KNOWN_METHODS else "_OTHER"
        return _OtelRequestSpan(self._tracer, method, scheme, self._propagator.extract(carrier, otel_context.Context()))

    def begin(self, name: str) -> EndSpan:
        if not trace.get_current_span().get_span_context().is_valid:
            return _not_recorded
        span = self._tracer.start_span(name, record_exception=False, set_status_on_exception=False)

        def end(error: BaseException | None) -> None:
            if isinstance(error, Exception):
                _mark_failed(span, type(error).__name__)
            span.end()

        return end

    def close(self) -> None:
        """Send what is left; takes seconds where nobody answers."""
        self._provider.shutdown()


class _OtelRequestSpan:
    def __init__(self, tracer: Tracer, method: str, scheme: str, parent: otel_context.Context) -> None:
        attributes = {"http.request.method": method, "url.scheme": scheme}
        self._method = method
        self._span = tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        self._token = otel_context.attach(trace.set_span_in_context(self._span, parent))

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def end(self, route: str | None, status: int) -> None:
        otel_context.detach(self._token)
        if route is not None:
            self._span.set_attribute("http.route", route)
            self._span.update_name(f"{self._method} {route}")
        # 0 where the client left before there was an answer.
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            _mark_failed(self._span, str(status))
        self._span.end()


def _mark_failed(span: Span, kind: str) -> None:
    """By its class alone: a description could hold what the message of an exception does."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _not_recorded(_error: BaseException | None) -> None:
    return None
