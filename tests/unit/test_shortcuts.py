"""A plain path is answered without Litestar's router: as Litestar answers it, errors included."""

from typing import Any, Final

import httpx
import pytest
from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from app.core import keys
from app.core.keys import KeyRing
from app.errors import DependencyDown
from app.http import app, schema
from app.http.access import Access
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

KEY, TOKEN = keys.make("reader", ["read"], "a" * 43)
RING: Final = KeyRing({KEY.name: (KEY,)})
WITH_KEYS: Final = Access(keys=lambda: RING)
FAILURES: Final[dict[str, Exception]] = {
    "problem": ProblemError(ProblemCode.UNKNOWN_KEY, "Told.", headers={"WWW-Authenticate": "Bearer"}),
    "down": DependencyDown("postgres", "away"),
    "bug": KeyError("x"),
    "slow": TimeoutError("of the handler itself, and not of the request"),
}


def handlers() -> list[HTTPRouteHandler]:
    described: dict[str, Any] = {"answers": {}, "tag": "recommendations"}

    @get("/list", opt=schema.call(needs="read", **described))
    async def read() -> ASGIApp:
        """Reads."""
        return reply({"handler": "read"})

    @post("/list", opt=schema.call(needs="catalogue", **described))
    async def ask() -> ASGIApp:
        """Asks."""
        return reply({"handler": "ask"})

    @get([f"/{name}" for name in FAILURES], opt=schema.call(needs=None, **described))
    async def fail(scope: Scope) -> ASGIApp:
        """Fails."""
        raise FAILURES[scope["path"].removeprefix("/")]

    @get("/begun", opt=schema.call(needs=None, **described))
    async def begin() -> ASGIApp:
        """Fails while it answers."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise KeyError("in the middle")

        return answer

    return [read, ask, fail, begin]


def client_of(access: Access) -> httpx.AsyncClient:
    options = app.Options(timeout_sec=5.0, draining=lambda: False, access=access)
    built: Any = app.build(handlers(), options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(built), base_url="http://test")


@pytest.mark.parametrize("access", [Access(), WITH_KEYS], ids=["open", "with keys"])
@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/list", {"X-API-Key": TOKEN}),
        ("GET", "/v1/list", {"X-API-Key": TOKEN}),
        ("HEAD", "/list", {"X-API-Key": TOKEN}),
        ("GET", "/list", {}),
        ("GET", "/list?x=1", {"X-API-Key": TOKEN}),
        ("POST", "/list", {"X-API-Key": TOKEN}),
        ("OPTIONS", "/list", {}),
        ("DELETE", "/list", {}),
        ("GET", "/list/", {}),
        ("GET", "/lists", {}),
        ("GET", "/list", {"X-API-Key": TOKEN, "Host": "a b"}),
        ("GET", "/list", {"X-API-Key": TOKEN, "Host": "[::1]:8080"}),
        ("GET", "/list", {"X-API-Key": TOKEN, "Host": "sub_domain.example"}),
        *(("GET", f"/{name}", {}) for name in FAILURES),
    ],
)
async def test_a_plain_path_answers_as_it_does_through_litestar(
    access: Access, method: str, path: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for shortcuts in (True, False):
        if not shortcuts:
            monkeypatch.setattr(app, "with_shortcuts", lambda litestar, *_: litestar)
        async with client_of(access) as client:
            found = await client.request(method, path, headers={"X-Request-ID": "same", **headers})
            answers.append((found.status_code, sorted(found.headers.multi_items()), found.content))
    assert answers[0] == answers[1]


async def test_an_answer_that_fails_in_the_middle_is_left_to_the_server() -> None:
    async with client_of(Access()) as client:
        with pytest.raises(KeyError, match="in the middle"):
            await client.get("/begun")
