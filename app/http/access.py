"""API keys with scopes, and a rate limit for each caller.

A key for browsers, which anybody can see, opens few calls, and those for the visitor of the request alone.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qs

from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from app import metrics
from app.core.keys import Key, KeyRing
from app.core.keys import Scope as KeyScope
from app.http.console_cookie import check_origin, is_of_other_session, read_cookie
from app.http.context import RequestContext, context_of, route_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError, retry_later
from app.http.schema import Call, call_asked
from app.http.visitors import Visitors
from app.http.wrong_keys import WrongKeys, client_network

QUERY_PARAMETER: Final = "key"

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="reco"'}
_BEARER: Final = b"bearer "
_BASIC: Final = b"basic "
# What pages of a shop do with a service that asks for no keys.
_OF_PAGES: Final = ("write", "read")


class LimitDecision(Protocol):
    """A limiter's decision about one request."""

    @property
    def allowed(self) -> bool: ...
    @property
    def limit(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def reset_sec(self) -> int: ...


class Access(Struct, frozen=True, kw_only=True):
    """Guards of the calls; None switches a guard off. `query_paths`: calls that take the key as `?key=` too.

    `refused` is told of each key that is refused: its name if it is valid and lacks the scope, why, the call, and the
    request's id. `wrong_keys` limits them. `session` finds the key of a session of the console; a key in the request
    comes first. `visitors` tells who the visitor is of a request with a key for browsers. `exposed` is told of each use
    of another key by a page of a browser: the key's name, the call, and the request's id.
    """

    keys: Callable[[], KeyRing] | None = None
    refused: Callable[[str | None, str, str, str], None] | None = None
    wrong_keys: WrongKeys | None = None
    take: Callable[[str], Awaitable[LimitDecision]] | None = None
    query_paths: frozenset[str] = frozenset()
    session: Callable[[str, KeyRing], Awaitable[Key | None]] | None = None
    visitors: Visitors | None = None
    exposed: Callable[[str, str, str], None] | None = None


def guard(access: Access) -> Callable[[ASGIApp], ASGIApp]:
    """Middleware that runs after routing, so that it knows the call's scope."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            call = call_asked(scope)
            if call is not None and call.needs is not None:
                await _admit(scope, call, call.needs, access)
            await app(scope, receive, send)

        return guarded

    return wrap


def refuse_forms(app: ASGIApp) -> ASGIApp:
    """Middleware where no keys are asked for. A page of any site can send what a form sends, so that calls beyond
    events and lists take no such POST from another origin. For any other request that changes something, a browser asks
    first (a preflight), and CORS answers.
    """

    def checked(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope.get("method") == "POST" and _is_form_of_another_site(scope):
            raise ProblemError(
                ProblemCode.OTHER_SITE, "A page of another site may do this only with `Content-Type: application/json`."
            )
        return app(scope, receive, send)

    return checked


def _is_form_of_another_site(scope: Scope) -> bool:
    call = call_asked(scope)
    if call is None or call.needs is None or call.needs in _OF_PAGES:
        return False
    headers = context_of(scope).headers
    is_json = headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"application/json"
    return not is_json and _is_of_a_page(headers)


async def _admit(scope: Scope, call: Call, needs: KeyScope, access: Access) -> None:
    context = context_of(scope)
    key = None
    if access.keys is not None:
        key = await _key(scope, context, call, needs, access, access.keys())
        context.caller, context.caller_may_operate = key.name, key.allows("operate")
    if access.take is not None:
        decision = await access.take(_limited_by(scope, key))
        context.reply_headers += [
            (b"ratelimit-limit", b"%d" % decision.limit),
            (b"ratelimit-remaining", b"%d" % decision.remaining),
            (b"ratelimit-reset", b"%d" % decision.reset_sec),
        ]
        if not decision.allowed:
            metrics.API_REFUSED.labels("rate_limit").inc()
            raise retry_later(
                ProblemCode.RATE_LIMITED, f"More than {decision.limit} requests in one window.", decision.reset_sec
            )
    if key is not None and key.is_public and access.visitors is not None:
        access.visitors.admit(scope, context, in_query=scope["path"] in access.query_paths)


def _limited_by(scope: Scope, key: Key | None) -> str:
    """What the limit counts for: the key; with a key for browsers, which all visitors share, each address by itself;
    without keys, the address.
    """
    if key is None:
        return f"address:{client_network(scope)}"
    return f"{key.name}@{client_network(scope)}" if key.is_public else key.name


async def _key(
    scope: Scope, context: RequestContext, call: Call, needs: KeyScope, access: Access, ring: KeyRing
) -> Key:
    token = _token(scope, context, access.query_paths)
    key = await _session_key(scope, context, access, ring) if token is None else check_token(scope, token, access, ring)
    if key is None:
        metrics.API_REFUSED.labels("no_key").inc()
        raise ProblemError(
            ProblemCode.NO_KEY,
            "This call needs an API key: `Authorization: Bearer <key>` or `X-API-Key: <key>`, "
            "or the key as the user name of basic authentication.",
            headers=_CHALLENGE,
        )
    opened = call.for_browsers and access.visitors is not None if key.is_public else key.allows(needs)
    if not opened:
        metrics.API_REFUSED.labels("scope").inc()
        _tell(access, scope, context, key.name, f"lacks the scope {needs}")
        also = "; it is one for browsers, which may not make this call" if key.is_public else ""
        raise ProblemError(ProblemCode.MISSING_SCOPE, f"The API key {key.name} lacks the scope {needs}{also}.")
    if token is not None and not key.is_public and access.exposed is not None and _is_of_a_page(context.headers):
        access.exposed(key.name, _call_name(scope), context.request_id)
    return key


def _is_of_a_page(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that a page of another origin than this service's sent the request."""
    origin = headers.get(b"origin")
    if origin is None or headers.get(b"sec-fetch-site") == b"same-origin":
        return False
    return origin.partition(b"://")[2] != headers.get(b"host")


def check_token(scope: Scope, token: str, access: Access, ring: KeyRing) -> Key:
    """The key of this token. Raises a 401, or a 429 after too many wrong ones from the address."""
    key = ring.find(token)
    if key is None:
        metrics.API_REFUSED.labels("unknown_key").inc()
        name = token.partition(".")[0]
        reason = f"wrong secret for {name}" if name in ring.keys else "unknown key"
        _tell(access, scope, context_of(scope), None, reason)
        if access.wrong_keys is not None:
            access.wrong_keys.add(scope)
        raise ProblemError(ProblemCode.UNKNOWN_KEY, "The API key is not known.", headers=_CHALLENGE)
    return key


async def _session_key(scope: Scope, context: RequestContext, access: Access, ring: KeyRing) -> Key | None:
    if access.session is None or (cookie := read_cookie(context.headers)) is None:
        return None
    key = await access.session(cookie, ring)
    if key is not None:
        check_origin(scope)
        if is_of_other_session(scope, key.name):
            raise ProblemError(
                ProblemCode.OTHER_SESSION,
                f"This browser is signed in with the key {key.name} by now, and this page is of another one, so that "
                "nothing was done. Sign in again, or reload the page to go on with that key.",
                headers=_CHALLENGE,
            )
    return key


def _tell(access: Access, scope: Scope, context: RequestContext, actor: str | None, outcome: str) -> None:
    if access.refused is not None:
        access.refused(actor, outcome, _call_name(scope), context.request_id)


def _call_name(scope: Scope) -> str:
    return f"{scope.get('method')} {route_of(scope)}"


def _token(scope: Scope, context: RequestContext, query_paths: frozenset[str]) -> str | None:
    headers = context.headers
    authorization = headers.get(b"authorization")
    if authorization is not None:
        if authorization[: len(_BEARER)].lower() == _BEARER:
            return authorization[len(_BEARER) :].strip().decode("latin-1")
        if authorization[: len(_BASIC)].lower() == _BASIC:
            return _user_name(authorization[len(_BASIC) :].strip())
    if (header := headers.get(b"x-api-key")) is not None:
        return header.strip().decode("latin-1")
    if scope["query_string"] and scope["path"] in query_paths:
        values = parse_qs(scope["query_string"].decode("latin-1")).get(QUERY_PARAMETER)
        return values[0] if values else None
    return None


def _user_name(credentials: bytes) -> str | None:
    """The user name of basic authentication (RFC 7617), in which Segment's libraries send their write key."""
    try:
        return base64.b64decode(credentials, validate=True).decode("latin-1").partition(":")[0] or None
    except binascii.Error:
        return None
