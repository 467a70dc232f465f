"""Spans of the relay and the consumer, in the trace of the request that sent the events.

A request may send a thousand events: those that one batch has of it share a span.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from app import tracing
from app.adapters.outbox import OutboxRow
from app.tracing import TraceHeaders
from workers.incoming import Incoming

_SYSTEM: Final = {"messaging.system": "kafka"}


@contextmanager
def publishing(rows: Sequence[OutboxRow]) -> Iterator[Mapping[str | None, TraceHeaders]]:
    """A span for each trace among the rows while they are published: by the rows' `traceparent`, what their messages
    carry instead. Nothing without a tracer, and for traces that are not sampled.
    """
    tracer = tracing.tracer()
    if tracer is None:
        yield {}
        return
    from opentelemetry.trace import SpanKind

    found: dict[str | None, list[OutboxRow]] = {}
    for row in rows:
        if tracing.is_sampled(TraceHeaders(row.traceparent)):
            found.setdefault(row.traceparent, []).append(row)
    spans = {
        traceparent: tracer.start_span(
            _name("publish", (row.topic for row in of_trace)),
            context=tracing.context_of_headers(TraceHeaders(traceparent, of_trace[0].tracestate)),
            kind=SpanKind.PRODUCER,
            attributes={
                **_SYSTEM,
                "messaging.batch.message_count": len(of_trace),
                "reco.outbox.waited_ms": round(max(row.age_ms for row in of_trace)),
            },
        )
        for traceparent, of_trace in found.items()
    }
    try:
        yield {traceparent: tracing.headers_of(span) for traceparent, span in spans.items()}
    finally:
        for span in spans.values():
            span.end()


def counted(incoming: Sequence[Incoming], *, began_ns: int, counted_ns: int, ended_ns: int) -> None:
    """The spans of a batch whose offsets are committed: from its poll to the end, and inside of it until the features
    were counted. `began_ns`, `counted_ns` and `ended_ns`: nanoseconds since the epoch.
    """
    tracer = tracing.tracer()
    if tracer is None:
        return
    from opentelemetry.trace import SpanKind, set_span_in_context

    found: dict[TraceHeaders, list[str]] = {}
    for item in incoming:
        headers = _headers(item.record.headers)
        if tracing.is_sampled(headers):
            found.setdefault(headers, []).append(item.topic)
    for headers, topics in found.items():
        span = tracer.start_span(
            _name("process", topics),
            context=tracing.context_of_headers(headers),
            kind=SpanKind.CONSUMER,
            attributes={**_SYSTEM, "messaging.batch.message_count": len(topics), "reco.batch": len(incoming)},
            start_time=began_ns,
        )
        inside = tracer.start_span("features", context=set_span_in_context(span), start_time=began_ns)
        inside.end(counted_ns)
        span.end(ended_ns)


def _name(operation: str, topics: Iterable[str]) -> str:
    """With the topic, where there is one."""
    different = set(topics)
    return f"{operation} {different.pop()}" if len(different) == 1 else operation


def _headers(headers: Sequence[tuple[str, Any]]) -> TraceHeaders:
    named = {name: value for name, value in headers if name in TraceHeaders._fields and value}
    return TraceHeaders(_text(named.get("traceparent")), _text(named.get("tracestate")))


def _text(value: bytes | None) -> str | None:
    """None for bytes that nobody would have written as a header."""
    return value.decode() if value is not None and value.isascii() else None
