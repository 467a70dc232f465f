"""The span of a request. Ids in paths may name people, so it has the route and never the path."""

from typing import TYPE_CHECKING, Any

from app import tracing
from app.tracing import TraceHeaders

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from app.http.context import RequestContext


class RequestSpan:
    """Around one request, as a child of the span that its headers name. What happens in the request is inside of it,
    and its events travel on as its children.
    """

    def __init__(self, tracer: "Tracer", method: str, context: "RequestContext") -> None:
        from opentelemetry.context import attach
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = tracing.context_of_headers(TraceHeaders(context.traceparent, context.tracestate))
        self._method = method
        self._span = tracer.start_span(method, context=parent, kind=SpanKind.SERVER)
        context.traceparent, context.tracestate = tracing.headers_of(self._span)
        self._token = attach(set_span_in_context(self._span, parent))

    def end(self, route: str, status: int, context: "RequestContext") -> None:
        from opentelemetry.context import detach
        from opentelemetry.trace import StatusCode

        attributes: dict[str, Any] = {
            "http.request.method": self._method,
            "http.route": route,
            "http.response.status_code": status,
            "reco.request_id": context.request_id,
        }
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attributes(attributes)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        detach(self._token)
        self._span.end()
