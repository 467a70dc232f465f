"""Liveness, readiness and metrics: the calls that every role answers."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from app import metrics
from app.health import Report
from app.http import schema

_JSON: Final = "application/json"


class Liveness(Struct):
    """`wedged`: tasks that neither progress nor end when they are cancelled; only a new process helps them."""

    status: str
    wedged: list[str]


def handlers(report: Callable[[], Report], wedged: Callable[[], Sequence[str]]) -> list[HTTPRouteHandler]:
    @get("/healthz", opt=schema.call(needs=None, tag="operations", answers={200: Liveness, 503: Liveness}))
    async def healthz() -> Response[bytes]:
        """Liveness: 200 while the event loop turns and no task is wedged. Never fails for a dependency."""
        stuck = list(wedged())
        body = msgspec.json.encode(Liveness("wedged" if stuck else "alive", stuck))
        return Response(body, status_code=503 if stuck else 200, media_type=_JSON)

    @get("/readyz", opt=schema.call(needs=None, tag="operations", answers={200: Report, 503: Report}))
    async def readyz() -> Response[bytes]:
        """Readiness: 200 or 503, with an entry for each task of the role and each dependency it needs."""
        current = report()
        return Response(msgspec.json.encode(current), status_code=200 if current.ready else 503, media_type=_JSON)

    @get("/metrics", opt=schema.call(needs=None, tag="operations", answers={200: "text/plain"}))
    async def prometheus() -> Response[bytes]:
        """Metrics in the Prometheus text format."""
        report()  # sets the gauge of readiness, which must not be as old as the last call of /readyz
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [healthz, readyz, prometheus]
