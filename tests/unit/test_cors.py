"""What pages of other origins may read and send: every answer says it, errors included."""

import asyncio
from typing import Any, Final

import httpx
import pytest
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from app.http import app, schema
from app.http.responses import reply

SHOP: Final = "https://shop.example"
ASKS: Final = {"origin": SHOP, "access-control-request-method": "PUT"}


def handlers() -> list[HTTPRouteHandler]:
    described: dict[str, Any] = {"needs": "read", "answers": {}, "tag": "recommendations"}

    @get("/list", opt=schema.call(**described))
    async def read() -> ASGIApp:
        """Reads."""
        return reply(["item"] * 1_000)

    @get("/slow", opt=schema.call(**described))
    async def wait() -> ASGIApp:
        """Never answers."""
        await asyncio.Event().wait()
        return reply({})

    return [read, wait]


def client_of(*origins: str) -> httpx.AsyncClient:
    options = app.Options(timeout_sec=0.05, draining=lambda: False, cors_allow_origins=origins)
    built: Any = app.build(handlers(), options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://test")


def of_origins(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize(("path", "status"), [("/list", 200), ("/nothing", 404), ("/list/", 404), ("/slow", 503)])
async def test_a_page_reads_every_answer_whatever_went_wrong(path: str, status: int) -> None:
    async with client_of("https://other.example", SHOP) as client:
        answer = await client.get(path, headers={"origin": SHOP})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert "origin" in answer.headers["vary"]
        assert of_origins(await client.get(path)) == {}
        stranger = await client.get(path, headers={"origin": "https://evil.example"})
        assert (stranger.status_code, of_origins(stranger), "origin" in stranger.headers["vary"]) == (status, {}, True)


async def test_a_packed_answer_differs_by_its_packing_and_by_its_origin() -> None:
    async with client_of(SHOP) as client:
        answer = await client.get("/list", headers={"origin": SHOP, "accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert {name.strip() for name in answer.headers["vary"].split(",")} == {"accept-encoding", "origin"}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["*"], SHOP, "*"),
        (["https://*.shop.example"], "https://www.shop.example", "https://www.shop.example"),
        (["https://*.shop.example"], SHOP, None),
        (["https://shop.example"], "https://shop-example", None),
        (["https://shop.example"], "https://shop.example.evil.example", None),
        (["https://shop.example"], "null", None),
        ([], SHOP, None),
    ],
)
async def test_origins_are_those_that_are_named(origins: list[str], origin: str, allowed: str | None) -> None:
    async with client_of(*origins) as client:
        answer = await client.get("/list", headers={"origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed
        preflight = await client.options("/list", headers={**ASKS, "origin": origin})
        assert preflight.headers.get("access-control-allow-origin") == allowed


async def test_a_preflight_says_what_may_be_sent() -> None:
    async with client_of(SHOP) as client:
        for path in ("/list", "/nothing"):
            wanted = {"access-control-request-headers": "content-type, X-Visitor-ID,x-user-token,if-match,"}
            preflight = await client.options(path, headers={**ASKS, **wanted})
            assert (preflight.status_code, preflight.content) == (204, b"")
            assert "PUT" in preflight.headers["access-control-allow-methods"]
            assert "x-visitor-id" in preflight.headers["access-control-allow-headers"].lower()
            assert int(preflight.headers["access-control-max-age"]) > 0
        plain = await client.options("/list", headers={"origin": SHOP})
        assert (plain.status_code, plain.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"access-control-request-headers": "x-reco-console"}, "the header x-reco-console"),
        ({"access-control-request-method": "TRACE"}, "the method TRACE"),
        ({"origin": "https://evil.example"}, "the origin https://evil.example"),
    ],
)
async def test_a_preflight_that_asks_for_more_is_refused(asked: dict[str, str], named: str) -> None:
    async with client_of(SHOP) as client:
        refused = await client.options("/list", headers={**ASKS, **asked})
        assert refused.status_code == 400
        assert named in refused.text
