"""Gorse's users: those of whom events are stored. What it knows of them besides is not kept."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from app.adapters import gorse_pages
from app.adapters.history_cache import HistoryCache
from app.adapters.postgres import Database
from app.api.gorse.shapes import PageQuery, Success, gorse_call
from app.api.users import erase
from app.core.decoding import decode
from app.core.events import MAX_BODY_BYTES, Id
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_ids
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

_Request = Request[Any, Any, Any]


class GorseUser(Struct, rename="pascal", kw_only=True):
    """Labels and comment are accepted and not read."""

    user_id: Id


class GorseUserPatch(Struct):
    pass


class ListedUser(Struct, rename="pascal"):
    user_id: str
    labels: None = None
    comment: str = ""


class UserPage(Struct, rename="pascal"):
    cursor: str
    users: list[ListedUser]


_user: Final = msgspec.json.Decoder(GorseUser)
_users: Final = msgspec.json.Decoder(list[GorseUser])
_patch: Final = msgspec.json.Decoder(GorseUserPatch)


def handlers(database: Database, cache: HistoryCache | None, forget: Callable[[str], None]) -> list[HTTPRouteHandler]:
    """The routes; `cache` and `forget` as those of our own calls."""

    @post("/api/user", status_code=200, opt=gorse_call("write"))
    async def post_user(request: _Request) -> ASGIApp:
        decode(_user, await read_body(request, MAX_BODY_BYTES))
        return reply(Success(1))

    @post("/api/users", status_code=200, opt=gorse_call("write"))
    async def post_users(request: _Request) -> ASGIApp:
        return reply(Success(len(decode(_users, await read_body(request, MAX_BODY_BYTES)))))

    @patch("/api/user/{user_id:str}", opt=gorse_call("write"))
    async def patch_user(request: _Request) -> ASGIApp:
        decode(_patch, await read_body(request, MAX_BODY_BYTES))
        path_ids(request.scope)
        return reply(Success(1))

    @get("/api/users", opt=gorse_call("users"))
    async def list_users(scope: Scope) -> ASGIApp:
        query = schema.query_of(scope, PageQuery)
        async with database.connection() as connection:
            found = await gorse_pages.users(connection, query.after, query.n)
        return reply(UserPage(found[-1] if len(found) == query.n else "", [ListedUser(user_id) for user_id in found]))

    @get("/api/user/{user_id:str}", opt=gorse_call("users"))
    async def get_gorse_user(scope: Scope) -> ASGIApp:
        user_id = path_ids(scope)["user_id"]
        async with database.connection() as connection:
            if not await gorse_pages.is_known(connection, user_id):
                raise ProblemError(ProblemCode.NO_SUCH_USER, "Nothing is stored about this user.")
        return reply(ListedUser(user_id))

    @delete("/api/user/{user_id:str}", status_code=200, opt=gorse_call("users"))
    async def delete_gorse_user(scope: Scope) -> ASGIApp:
        """The erasure of all that was received of the user until now."""
        await erase(database, cache, forget, context_of(scope), path_ids(scope)["user_id"])
        return reply(Success(1))

    @get("/api/user/{user_id:str}/neighbors", opt=gorse_call("read"))
    async def user_neighbors(scope: Scope) -> ASGIApp:
        """As Gorse answers where user-to-user is not configured."""
        raise ProblemError(ProblemCode.NO_SUCH_PATH, "user-to-user recommendation is not enabled")

    return [post_user, post_users, patch_user, list_users, get_gorse_user, delete_gorse_user, user_neighbors]
