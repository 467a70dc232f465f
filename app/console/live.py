"""The stream of samples, as server-sent events."""

from contextlib import aclosing
from typing import Final

import anyio
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from app.console.flow_sampler import MOST_VIEWERS, FlowSampler
from app.http import schema
from app.http.problem_codes import ProblemCode
from app.http.problems import retry_later

# The page opens another one then, and its session is checked again.
_LASTS_SEC: Final = 600.0
_REOPEN: Final = b"retry: 2000\n\n"
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


def handlers(sampler: FlowSampler) -> list[HTTPRouteHandler]:
    @get(
        "/console/live",
        opt=schema.call(needs="read", tag="operations", answers={200: "text/event-stream"}, documented=False),
    )
    async def live() -> ASGIApp:
        """The flow, each second."""
        if sampler.is_full:
            raise retry_later(
                ProblemCode.TOO_MANY_VIEWERS,
                f"{MOST_VIEWERS} people look at the console of this process already.",
                30.0,
            )

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            start: HTTPResponseStartEvent = {"type": "http.response.start", "status": 200, "headers": list(_HEADERS)}
            await send(start)
            if scope.get("method") != "HEAD":
                async with anyio.create_task_group() as group:
                    group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
                    with anyio.move_on_after(_LASTS_SEC):
                        await _send_samples(sampler, send)
                    group.cancel_scope.cancel()
            await send(_part(b"", more=False))

        return stream

    return [live]


async def _send_samples(sampler: FlowSampler, send: Send) -> None:
    await send(_part(_REOPEN))
    async with aclosing(sampler.watch()) as events:
        async for event in events:
            await send(_part(event))


async def _cancel_when_gone(receive: Receive, viewer: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.cancel()


def _part(content: bytes, *, more: bool = True) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": content, "more_body": more}
