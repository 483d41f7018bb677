"""A receiver of OTLP traces over HTTP: decodes what is sent to it, and answers as a collector does."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.e2e.http_double import serving


@dataclass(frozen=True)
class SentSpan:
    """A span as it was received."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_error: bool
    attributes: dict[str, str]


@dataclass
class OtlpReceiver:
    """`spans` so far, and all that came as text, to be searched."""

    url: str = ""
    spans: list[SentSpan] = field(default_factory=list)
    text: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self.lock:
            self.text += str(request)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        attributes = {
                            one.key: one.value.string_value or str(one.value.int_value) for one in span.attributes
                        }
                        identity = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                        self.spans.append(SentSpan(span.name, *identity, span.status.code == 2, attributes))


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """One in a thread."""
    state = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            state.take(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as url:
        state.url = f"{url}/v1/traces"
        yield state
