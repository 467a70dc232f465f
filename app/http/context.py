"""The outermost layer of every request: takes or makes ids, sets the deadline, counts and times the answer."""

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics, tracing
from app.core.traces import trace_id
from app.core.visitors import Visitor
from app.http.deadlines import Deadlines
from app.http.spans import RequestSpan

_log = structlog.get_logger(__name__)

_KEY: Final = "reco"
ROUTE: Final = "reco_route"
"""Of `scope["state"]`: the path of the call with the names of its ids, where the router got another one."""

_LISTS: Final = frozenset({b"accept-encoding", b"content-encoding", b"if-match", b"if-none-match", b"tracestate"})
_MAX_ID_LENGTH: Final = 128
# What W3C trace context asks everybody to pass on.
_MAX_STATE_LENGTH: Final = 512
_FAMILIES: Final = {n: metrics.API_REQUESTS.labels(f"{n}xx") for n in range(1, 6)}

# A 503 of /readyz is a correct answer and not a failed request; its cause is logged once elsewhere.
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestContext:
    """A request's data besides its body. Header names are lower case."""

    __slots__ = (
        "body_read",
        "caller",
        "caller_may_operate",
        "correlation_id",
        "error",
        "events",
        "headers",
        "reply_headers",
        "request_id",
        "status",
        "traceparent",
        "tracestate",
        "visitor",
    )

    def __init__(self, headers: dict[bytes, bytes]) -> None:
        self.headers = headers
        self.request_id = _printable(headers.get(b"x-request-id")) or os.urandom(16).hex()
        self.correlation_id = _printable(headers.get(b"x-correlation-id")) or self.request_id
        self.traceparent = _printable(headers.get(b"traceparent"))
        self.tracestate = _printable(headers.get(b"tracestate"), _MAX_STATE_LENGTH) if self.traceparent else None
        self.caller: str | None = None
        self.caller_may_operate = True  # without keys every caller may
        self.status = 0  # of the answer, once it has begun
        self.visitor: Visitor | None = None  # whom a key for browsers acts for; None: another key, which acts for all
        self.error: str | None = None  # why the answer is a 5xx; for the log alone
        self.events: Mapping[str, int] | None = None  # the request's events by outcome
        self.body_read = True
        self.reply_headers: list[tuple[bytes, bytes]] = []

    @property
    def actor(self) -> str:
        """Who makes the call, in what is kept of it; `caller` is None where no key is asked for."""
        return self.caller or "without a key"

    @property
    def trace_id(self) -> str | None:
        return trace_id(self.traceparent)


def context_of(scope: Scope) -> RequestContext:
    context: RequestContext = scope["state"][_KEY]
    return context


def route_of(scope: Scope) -> str | None:
    """The path of the call with the names of its ids, such as `/items/{item_id}`. None: there is no such call."""
    template: str | None = scope.get("path_template")
    return template and scope["state"].get(ROUTE, template)


class Late(Exception):
    """The request's deadline passed before there was an answer."""


OnError = Callable[[RequestContext, Exception], ASGIApp]


def with_context(app: ASGIApp, *, timeout_sec: float, draining: Callable[[], bool], on_error: OnError) -> ASGIApp:
    """Wraps the whole application, errors and unknown paths included.

    While `draining`, every answer asks the client to close its connection, so that it goes to another process before
    this one ends. `on_error` makes the answer to a request that is `Late`.
    """
    latencies: dict[str, Callable[[float], None]] = {}
    deadlines = Deadlines(timeout_sec)
    tracer = tracing.tracer()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        context = RequestContext(_by_name(list(scope["headers"])))
        scope.setdefault("state", {})[_KEY] = context
        span = None
        if tracer is not None and scope["path"] not in _PROBES:
            span = RequestSpan(tracer, scope["method"], context)

        def send_with_ids(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                deadline.lift()  # there is an answer; how long its client may take to read it, the connection decides
                context.status = message["status"]
                headers = [
                    *message["headers"],
                    (b"x-request-id", context.request_id.encode()),
                    (b"x-correlation-id", context.correlation_id.encode()),
                    *context.reply_headers,
                ]
                if draining():
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            return send(message)

        try:
            with deadlines.start() as deadline:
                await app(scope, receive, send_with_ids)
        except TimeoutError:
            if context.status:
                raise  # the server cuts the connection, which the client notices
            await on_error(context, Late())(scope, receive, send_with_ids)
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
            status = context.status
            route = route_of(scope) or "(none)"
            probe = route in _PROBES
            if not probe:
                _FAMILIES[(status or 500) // 100].inc()
            observe = latencies.get(route)
            if observe is None:
                observe = latencies[route] = metrics.API_LATENCY.labels(route).observe
            observe(elapsed_ms)
            if span is not None:
                span.end(route, status or 500, context)
            failed = status >= 500 and not probe
            if failed or logging.root.isEnabledFor(logging.DEBUG):
                log = _log.warning if failed else _log.info
                log(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(elapsed_ms, 1),
                    request_id=context.request_id,
                    correlation_id=context.correlation_id,
                    trace_id=context.trace_id,
                    caller=context.caller,
                    events=context.events,
                    error=context.error,
                )

    return wrapped


def _by_name(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Of a header in several lines the last one; of one that is a list, all of them (RFC 9110, 5.3)."""
    found = dict(lines)
    if len(found) < len(lines):
        for name in _LISTS & found.keys():
            found[name] = b", ".join(value for one, value in lines if one == name)
    return found


def _printable(value: bytes | None, longest: int = _MAX_ID_LENGTH) -> str | None:
    if not value or len(value) > longest:
        return None
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else None
