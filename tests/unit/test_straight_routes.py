"""Calls that go from the route to the handler without Litestar's steps in between."""

from typing import Any, Final

import httpx
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from app.core.keys import Scope as KeyScope
from app.http import app, schema
from app.http.responses import reply

STRAIGHT: Final = {"route": "ASGIRouteHandler"}


def handlers(path: str, *, posts_need: KeyScope) -> list[HTTPRouteHandler]:
    """A GET and a POST of this path, which answer with the kind of their route."""

    def answers(scope: Scope) -> ASGIApp:
        return reply({"route": type(scope["route_handler"]).__name__})

    @get(path, name=f"get {path}", opt=schema.call(needs="read", answers={}, tag="recommendations", documented=False))
    async def read(scope: Scope) -> ASGIApp:
        return answers(scope)

    @post(
        path,
        name=f"post {path}",
        opt=schema.call(needs=posts_need, answers={}, tag="recommendations", documented=False),
    )
    async def ask(scope: Scope) -> ASGIApp:
        return answers(scope)

    return [read, ask]


async def answers_at(path: str, routes: list[HTTPRouteHandler]) -> dict[str, Any]:
    built = app.build(routes, app.Options(timeout_sec=5.0, draining=lambda: False))
    transport = httpx.ASGITransport(built)  # type: ignore[arg-type] - Litestar's types of the same thing
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        refused = await client.put(path)
        assert refused.status_code == 405
        for answer in (refused, await client.options(path)):
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
        assert (await client.head(path)).status_code == 200
        return {method: (await client.request(method, path)).json() for method in ("GET", "POST")}


async def test_methods_of_one_path_with_one_scope_go_straight() -> None:
    routes = handlers("/list", posts_need="read")
    assert await answers_at("/list", routes) == {"GET": STRAIGHT, "POST": STRAIGHT}


async def test_methods_that_need_different_scopes_keep_their_own_routes() -> None:
    routes = handlers("/list", posts_need="catalogue")
    assert await answers_at("/list", routes) == {"GET": {"route": "get"}, "POST": {"route": "post"}}
