"""The span of a flush: one commit serves many requests, so it has no parent, and links to their spans."""

from collections.abc import Sequence
from typing import Final

from app import tracing
from app.adapters.ingest import InsertStatus
from app.core.events import Record
from app.ingest.group_commit import Insert
from app.tracing import TraceHeaders

_MAX_LINKS: Final = 32


def with_flush_span(insert: Insert) -> Insert:
    """The insert with a span around each flush. Without a tracer: itself."""
    tracer = tracing.tracer()
    if tracer is None:
        return insert
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, get_current_span

    async def insert_in_span(records: Sequence[Record]) -> list[InsertStatus]:
        sources = dict.fromkeys(TraceHeaders(record.traceparent, record.tracestate) for record in records)
        links = [
            Link(get_current_span(tracing.context_of_headers(source)).get_span_context())
            for source in list(sources)[:_MAX_LINKS]
            if tracing.is_sampled(source)
        ]
        attributes = {"reco.events": len(records)}
        with tracer.start_as_current_span("ingest_flush", context=Context(), links=links, attributes=attributes):
            return await insert(records)

    return insert_in_span
