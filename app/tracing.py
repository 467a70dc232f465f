"""Spans by OpenTelemetry, where its variables ask for them; otherwise nothing, and none of its packages is imported.

Whether spans are made is decided once, at the start of the process: what wraps a function then leaves it as it is.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

P = ParamSpec("P")
R = TypeVar("R")

_SAMPLED_FLAGS: Final = frozenset(f"{flags:02x}" for flags in range(1, 256, 2))
_FLAGS: Final = slice(53, 55)


class TraceHeaders(NamedTuple):
    """W3C trace context: the two headers, as they travel with a request, an outbox row and a message."""

    traceparent: str | None
    tracestate: str | None = None


class _Tracing:
    tracer: "Tracer | None" = None


def use(tracer: "Tracer | None") -> None:
    """From here on spans are made with this tracer; None: none are. Before anything is wrapped."""
    _Tracing.tracer = tracer


def tracer() -> "Tracer | None":
    return _Tracing.tracer


def traced(name: str, function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The function with a span around each call, inside of the span that is current there. Without a tracer: itself."""
    current = _Tracing.tracer
    if current is None:
        return function

    @wraps(function)
    async def with_span(*args: P.args, **kwargs: P.kwargs) -> R:
        with current.start_as_current_span(name):
            return await function(*args, **kwargs)

    return with_span


def context_of_headers(headers: TraceHeaders) -> "Context":
    """The remote parent of spans. Invalid headers give none."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name: value for name, value in headers._asdict().items() if value}
    return TraceContextTextMapPropagator().extract(carrier)


def headers_of(span: "Span") -> TraceHeaders:
    """With which what happens elsewhere is a child of this span."""
    found = span.get_span_context()
    parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    return TraceHeaders(parent, found.trace_state.to_header() or None)


def is_sampled(headers: TraceHeaders) -> bool:
    """Whether spans of this trace are recorded: the last flag of `traceparent`."""
    return headers.traceparent is not None and headers.traceparent[_FLAGS] in _SAMPLED_FLAGS
