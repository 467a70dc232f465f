"""Calls the routes of plain paths without Litestar's router and its exception layer, a twentieth of a recommendation.

`app.http.paths` has found the path by then, and a path without ids leads to one route. The route gets the same scope,
behind the same middleware, and its errors the same answers. Litestar takes the rest: paths with ids, and a `Host` that
it may have to refuse.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.handlers import ASGIRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from app.http.context import context_of
from app.http.problems import render

# Names, addresses and ports, which are a part of what Litestar takes.
_HOST: Final = re.compile(rb"[0-9A-Za-z.:\[\]-]*")

Middleware = Callable[[ASGIApp], ASGIApp]


def with_shortcuts(app: ASGIApp, routes: Collection[ASGIRouteHandler], middleware: Collection[Middleware]) -> ASGIApp:
    """`app`: takes all other requests. `routes`: of plain paths. `middleware`: the innermost first."""
    by_path = {path: (route, _wrapped(route.fn, middleware)) for route in routes for path in route.paths}

    async def shortcut(scope: Scope, receive: Receive, send: Send) -> None:
        found = by_path.get(scope["path"])
        if found is None or scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        context = context_of(scope)
        if _HOST.fullmatch(context.headers.get(b"host", b"")) is None:
            await app(scope, receive, send)
            return
        scope["route_handler"], answer = found
        scope["path_template"] = scope["path"]
        try:
            await answer(scope, receive, send)
        except Exception as error:
            if context.status:
                raise  # it has begun to answer: the server cuts the connection
            await render(context, error)(scope, receive, send)

    return shortcut


def _wrapped(answer: Any, middleware: Collection[Middleware]) -> ASGIApp:
    app: ASGIApp = answer
    for one in middleware:
        app = one(app)
    return app
