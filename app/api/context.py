"""The outermost layer of every request: ids taken or made and echoed, the answer counted and timed."""

import os
import time
from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics

_log = structlog.get_logger(__name__)

_KEY: Final = "reco"
_MAX_ID_LENGTH: Final = 128
_FAMILIES: Final = {n: metrics.API_REQUESTS.labels(f"{n}xx") for n in range(1, 6)}


class RequestContext:
    """What a handler may want to know of its request besides the body."""

    __slots__ = ("correlation_id", "request_id", "traceparent")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        request_id = correlation_id = traceparent = None
        for name, value in headers:
            if name == b"x-request-id":
                request_id = _printable(value)
            elif name == b"x-correlation-id":
                correlation_id = _printable(value)
            elif name == b"traceparent":
                traceparent = _printable(value)
        self.request_id = request_id or os.urandom(16).hex()
        self.correlation_id = correlation_id or self.request_id
        self.traceparent = traceparent


def context_of(scope: Scope) -> RequestContext:
    context: RequestContext = scope["state"][_KEY]
    return context


def request_id_of(scope: Scope) -> str:
    return context_of(scope).request_id


def with_context(app: ASGIApp) -> ASGIApp:
    """Wraps the whole application, errors and unknown paths included."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        context = RequestContext(scope["headers"])  # type: ignore[arg-type]
        scope.setdefault("state", {})[_KEY] = context
        status = 500

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", context.request_id.encode()),
                    (b"x-correlation-id", context.correlation_id.encode()),
                ]
            await send(message)

        try:
            await app(scope, receive, send_with_ids)
        finally:
            elapsed_ms = (time.perf_counter() - started) * 1000
            _FAMILIES[status // 100].inc()
            route = scope.get("path_template") or "(none)"
            metrics.API_LATENCY.labels(route).observe(elapsed_ms)
            if status >= 500 or _log.is_enabled_for(10):
                _log.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    ms=round(elapsed_ms, 1),
                    request_id=context.request_id,
                    correlation_id=context.correlation_id,
                )

    return wrapped


def _printable(value: bytes) -> str | None:
    text = value.decode("latin-1")
    return text if 1 <= len(text) <= _MAX_ID_LENGTH and text.isascii() and text.isprintable() else None
