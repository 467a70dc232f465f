"""Where a request comes from that came through a proxy."""

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_SAID_BY_PROXIES: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})


def behind_proxies(app: Any, trusted: Sequence[str]) -> Any:
    """Takes the client's address and scheme from the headers of `trusted` proxies (addresses and networks).

    uvicorn's middleware gets the requests that have such a header; for each other it would look for nothing.
    """
    proxied: Any = ProxyHeadersMiddleware(app, list(trusted))

    def forwarded(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        names = [name for name, _ in scope.get("headers", ())]
        called: Awaitable[None] = (app if _SAID_BY_PROXIES.isdisjoint(names) else proxied)(scope, receive, send)
        return called

    return forwarded
