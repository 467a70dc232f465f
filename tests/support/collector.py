"""A collector of OTLP over HTTP that keeps what it is sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_TRACES: Final = "/v1/traces"
_METRICS: Final = "/v1/metrics"


class Collector:
    """`url`: for OTEL_EXPORTER_OTLP_ENDPOINT."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.resources: list[dict[str, str]] = []
        self.metrics: dict[str, Metric] = {}
        self._spans: list[Span] = []

    def take(self, path: str, body: bytes) -> None:
        if path == _TRACES:
            traces = ExportTraceServiceRequest.FromString(body)
            for of_resource in traces.resource_spans:
                self.resources.append({a.key: a.value.string_value for a in of_resource.resource.attributes})
                self._spans += [span for of_scope in of_resource.scope_spans for span in of_scope.spans]
        elif path == _METRICS:
            sent = ExportMetricsServiceRequest.FromString(body)
            for of_resource in sent.resource_metrics:
                for of_scope in of_resource.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in of_scope.metrics}

    def spans(self, trace_id: str) -> list[Span]:
        return [span for span in list(self._spans) if span.trace_id.hex() == trace_id]

    def named(self, name: str) -> list[Span]:
        return [span for span in list(self._spans) if span.name == name]


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
