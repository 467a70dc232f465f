"""Requests that came through a proxy come from where a trusted one says, and all others from where they come."""

from itertools import product
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.http.proxies import behind_proxies

TRUSTED = ("127.0.0.1", "10.0.0.0/8")
HEADERS = [
    (b"host", b"shop.example"),
    (b"x-forwarded-for", b"203.0.113.7, 10.1.1.1"),
    (b"x-forwarded-for", b""),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-proto", b"gopher"),
]
CLIENTS = [("127.0.0.1", 1), ("10.2.3.4", 2), ("198.51.100.9", 3), None]


class Asked:
    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.scope = dict(scope)


async def seen(wrap: Any, client: tuple[str, int] | None, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    asked = Asked()
    await wrap(asked)({"type": "http", "client": client, "scheme": "http", "headers": headers}, None, None)
    return asked.scope


@pytest.mark.asyncio
async def test_a_trusted_proxy_is_believed_and_nobody_else() -> None:
    def wrap(app: Any) -> Any:
        return behind_proxies(app, TRUSTED)

    said = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]
    trusted = await seen(wrap, ("127.0.0.1", 1), said)
    assert (trusted["client"][0], trusted["scheme"]) == ("203.0.113.7", "https")
    other = await seen(wrap, ("198.51.100.9", 1), said)
    assert (other["client"], other["scheme"]) == (("198.51.100.9", 1), "http")


@pytest.mark.asyncio
async def test_requests_are_as_uvicorns_middleware_leaves_them() -> None:
    for client, *headers in [one for count in range(3) for one in product(CLIENTS, *[HEADERS] * count)]:
        ours = await seen(lambda app: behind_proxies(app, TRUSTED), client, list(headers))
        assert ours == await seen(lambda app: ProxyHeadersMiddleware(app, list(TRUSTED)), client, list(headers))
