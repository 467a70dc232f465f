"""What a path answers, whatever its methods are: each method goes to its own handler, with its own scope."""

from typing import Annotated, Any, Final

import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from app.core import keys
from app.core.keys import KeyRing
from app.core.keys import Scope as KeyScope
from app.http import app, schema
from app.http.access import Access
from app.http.path_ids import path_id
from app.http.responses import reply

KEY, TOKEN = keys.make("reader", ["read"], "a" * 43)
OPEN: Final = Access()


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(description="How many.")] = 1


def handlers(*, posts_need: KeyScope = "read") -> list[HTTPRouteHandler]:
    described: dict[str, Any] = {"answers": {}, "tag": "recommendations"}

    @get("/list", opt=schema.call(needs="read", query=Limit, **described))
    async def read(scope: Scope) -> ASGIApp:
        """Reads."""
        return reply({"handler": "read", "limit": schema.query_of(scope, Limit).limit})

    @post("/list", opt=schema.call(needs=posts_need, **described))
    async def ask() -> ASGIApp:
        """Asks."""
        return reply({"handler": "ask"})

    @get("/things/{name:path}", opt=schema.call(needs="read", **described))
    async def thing(scope: Scope) -> ASGIApp:
        """One thing."""
        return reply({"name": path_id(scope)})

    @get("/probe", opt=schema.call(needs=None, **described))
    async def probe() -> ASGIApp:
        """A probe."""
        return reply({"handler": "probe"})

    @post("/v1/track", opt=schema.call(needs="read", foreign=True, **described))
    async def track() -> ASGIApp:
        """Another protocol's call."""
        return reply({"handler": "track"})

    return [read, ask, thing, probe, track]


def client_of(routes: list[HTTPRouteHandler], access: Access = OPEN) -> httpx.AsyncClient:
    built = app.build(routes, app.Options(timeout_sec=5.0, draining=lambda: False, access=access))
    transport = httpx.ASGITransport(built)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_each_method_of_a_path_reaches_its_handler() -> None:
    async with client_of(handlers()) as client:
        assert (await client.get("/list")).json()["handler"] == "read"
        assert (await client.post("/list")).json() == {"handler": "ask"}
        assert (await client.head("/list")).status_code == 200
        refused = await client.put("/list")
        assert refused.status_code == 405
        for answer in (refused, await client.options("/list")):
            assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_methods_of_one_path_need_their_own_scopes() -> None:
    ring = KeyRing({KEY.name: (KEY,)})
    access = Access(keys=lambda: ring)
    async with client_of(handlers(posts_need="catalogue"), access) as client:
        headers = {"X-API-Key": TOKEN}
        assert (await client.get("/list", headers=headers)).status_code == 200
        assert (await client.post("/list", headers=headers)).status_code == 403
        assert (await client.options("/list")).status_code == 204


@pytest.mark.parametrize(
    ("url", "path", "message"),
    [
        ("/list?limits=3", "$.limits", "no such parameter; did you mean limit?"),
        ("/list?zz=3&limit=4", "$.zz", "no such parameter; there are limit"),
        ("/things/a?b", "$.name", "this call has no parameters; write a ? of an id as %3F"),
    ],
)
async def test_unknown_parameter_is_refused_with_those_that_there_are(url: str, path: str, message: str) -> None:
    async with client_of(handlers()) as client:
        answer = await client.get(url)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"path": path, "message": message}]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("limit=many&zz=3", {"$.limit": "Expected `int`", "$.zz": "no such parameter"}),
        ("limit=1&zz=3&limit=2", {"$.limit": "given twice", "$.zz": "no such parameter"}),
    ],
)
async def test_all_that_is_wrong_with_a_query_is_told_at_once(query: str, wrong: dict[str, str]) -> None:
    async with client_of(handlers()) as client:
        errors = (await client.get(f"/list?{query}")).json()["errors"]
    assert [fault["path"] for fault in errors] == list(wrong)
    assert all(fault["message"].startswith(wrong[fault["path"]]) for fault in errors)


async def test_unknown_parameter_of_a_call_without_any_is_refused() -> None:
    async with client_of(handlers()) as client:
        assert (await client.post("/list?x=1")).json()["code"] == "invalid"


@pytest.mark.parametrize(("method", "url"), [("GET", "/probe?at=1"), ("POST", "/v1/track?v=2")])
async def test_probes_and_other_protocols_take_any_parameter(method: str, url: str) -> None:
    async with client_of(handlers()) as client:
        assert (await client.request(method, url)).status_code == 200


async def test_own_calls_are_under_their_version_too() -> None:
    async with client_of(handlers()) as client:
        assert (await client.get("/v1/list?limit=3")).json() == {"handler": "read", "limit": 3}
        assert (await client.get("/v1/things/a%2Fb")).json() == {"name": "a/b"}
        assert (await client.post("/v1/track")).json() == {"handler": "track"}
        for path in ("/v1/probe", "/v1/v1/list", "/v1", "/v1/", "/v1/v1/track"):
            assert (await client.get(path)).json()["code"] == "no_such_path"


async def test_paths_with_a_version_are_documented_once() -> None:
    async with client_of(handlers()) as client:
        document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) >= {"/list", "/things/{name}", "/v1/track"}
    assert [server["url"] for server in document["servers"]] == ["/", "/v1"]
    assert document["paths"]["/v1/track"]["post"]["servers"] == [{"url": "/"}]
    assert "servers" not in document["paths"]["/list"]["get"]


async def test_a_path_that_another_call_has_with_a_version_is_refused() -> None:
    @get("/track", opt=schema.call(needs="read", answers={}, tag="recommendations"))
    async def track_of_ours() -> ASGIApp:
        """Ours."""
        return reply({})

    with pytest.raises(ValueError, match="/v1/track"):
        client_of([*handlers(), track_of_ours])
