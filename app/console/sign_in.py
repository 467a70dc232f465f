"""Signing in and out at the console. The API key is checked once and not kept: the cookie has a session of it."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Meta, Struct

from app.console.sessions import ConsoleSessions
from app.core.console_session import LASTS_SEC
from app.core.decoding import decode
from app.core.keys import SCOPES, Key
from app.http import schema
from app.http.access import Access, check_token
from app.http.body import read_body
from app.http.console_cookie import check_origin, read_cookie, set_cookie
from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply

_PATH: Final = "/console/session"
_MAX_BYTES: Final = 1024
_NOT_STORED: Final = ((b"cache-control", b"no-store"),)


class SignIn(Struct, forbid_unknown_fields=True):
    key: Annotated[str, Meta(min_length=1, max_length=256)]


class SignedIn(Struct, kw_only=True):
    """Who looks at the console. `keys`: whether this service asks for keys. `name`: of the key; null: not signed in, or
    no key is needed. `scopes`: what the page may do, `admin` spelt out.
    """

    keys: bool
    name: str | None
    scopes: Sequence[str]


_decoder: Final = msgspec.json.Decoder(SignIn)


def handlers(sessions: ConsoleSessions, access: Access) -> list[HTTPRouteHandler]:
    described = schema.call(needs=None, tag="operations", answers={200: SignedIn}, documented=False)

    @get(_PATH, opt=described)
    async def console_session(scope: Scope) -> ASGIApp:
        """Who is signed in."""
        if access.keys is None:
            return _told(access, None)
        cookie = read_cookie(context_of(scope).headers)
        return _told(access, None if cookie is None else await sessions.find(cookie, access.keys()))

    @post(_PATH, status_code=200, opt=described)
    async def sign_in(request: Request[Any, Any, Any]) -> ASGIApp:
        """Takes an API key and sets the cookie."""
        check_origin(request.scope)
        asked = decode(_decoder, await read_body(request, _MAX_BYTES))
        if access.keys is None:
            return _told(access, None)
        key = check_token(request.scope, asked.key.strip(), access, access.keys())
        if key.is_public:
            raise ProblemError(ProblemCode.MISSING_SCOPE, "The key is one for browsers, and opens nothing here.")
        value = await sessions.open(key)
        return _told(access, key, set_cookie(request.scope, value, LASTS_SEC))

    @delete(_PATH, status_code=200, opt=described)
    async def sign_out(request: Request[Any, Any, Any]) -> ASGIApp:
        """Removes the cookie."""
        check_origin(request.scope)
        return _told(access, None, set_cookie(request.scope, "", 0))

    return [console_session, sign_in, sign_out]


def _told(access: Access, key: Key | None, *headers: tuple[bytes, bytes]) -> Reply:
    open_to_all = access.keys is None
    scopes = [
        scope
        for scope in SCOPES
        if scope not in ("admin", "browser") and (open_to_all or (key is not None and key.allows(scope)))
    ]
    told = SignedIn(keys=not open_to_all, name=None if key is None else key.name, scopes=scopes)
    return reply(told, headers=[*_NOT_STORED, *headers])
