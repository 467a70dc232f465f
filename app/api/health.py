"""Liveness, readiness and metrics: the calls of every role."""

from collections.abc import Callable, Sequence
from typing import Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app import metrics
from app.health import Readiness
from app.http import schema
from app.http.responses import Reply, reply
from app.http.shared_making import SharedMaking


class Liveness(Struct):
    """`wedged`: tasks that neither progress nor end when they are cancelled; only a new process helps."""

    status: Literal["alive", "wedged"]
    wedged: list[str]


def handlers(report: Callable[[], Readiness], wedged: Callable[[], Sequence[str]]) -> list[HTTPRouteHandler]:
    def render() -> bytes:
        report()  # updates the readiness gauge, which would otherwise be as old as the last call of /readyz
        return metrics.render()

    rendering = SharedMaking(render)

    @get("/healthz", opt=schema.call(needs=None, tag="operations", answers={200: Liveness, 503: Liveness}))
    async def healthz() -> ASGIApp:
        """Liveness: 200 while the event loop turns and no task is wedged. Never fails for a dependency."""
        stuck = list(wedged())
        return reply(Liveness("wedged" if stuck else "alive", stuck), status=503 if stuck else 200)

    @get("/readyz", opt=schema.call(needs=None, tag="operations", answers={200: Readiness, 503: Readiness}))
    async def readyz() -> ASGIApp:
        """Readiness: 200 or 503, with an entry for each task of the role and each dependency it needs."""
        current = report()
        return reply(current, status=200 if current.ready else 503)

    @get("/metrics", opt=schema.call(needs=None, tag="operations", answers={200: "text/plain"}))
    async def prometheus() -> ASGIApp:
        """Metrics in the Prometheus text format."""
        return Reply(await rendering.result(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [healthz, readyz, prometheus]
