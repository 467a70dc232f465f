"""Joins the history of an anonymous id into an account, and takes that back."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, delete, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from app.adapters import cache_epoch, erasures, features, user_links
from app.adapters.history_cache import HistoryCache, Versioned
from app.adapters.postgres import Database
from app.adapters.user_links import Made, StoredLink
from app.api.audited import change
from app.api.timestamps import Timestamp
from app.core.decoding import InvalidInput, decode
from app.core.events import MAX_EVENT_BYTES, Id
from app.core.field_errors import FieldError
from app.core.persons import MAX_LINKS, Link
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply

if TYPE_CHECKING:
    from app.adapters.postgres import Connection


class MergeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`anonymous_id`: what the user was called before the log-in."""

    anonymous_id: Id


class UnmergeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which anonymous id is taken out of the account again."""

    anonymous_id: Id


class UserLink(Struct):
    """The history of `anonymous_id` is joined into that of `user_id`. Until `undo_until` it can be undone."""

    anonymous_id: str
    user_id: str
    linked_at: Timestamp
    undo_until: Timestamp


_decoder: Final = msgspec.json.Decoder(MergeBody)
_PROBLEMS: Final = schema.problems(422, 503)


def link_of(stored: StoredLink) -> UserLink:
    return UserLink(stored.anonymous_id, stored.user_id, stored.linked_at, stored.undo_until)


def handlers(database: Database, cache: HistoryCache | None) -> list[HTTPRouteHandler]:
    @post(
        "/users/{user_id:path}/merge",
        status_code=200,
        opt=schema.call(
            needs="users",
            tag="users",
            body=MergeBody,
            answers={200: UserLink, **schema.problems(400, 409, 413, 415), **_PROBLEMS},
        ),
    )
    async def merge_user(request: Request[Any, Any, Any]) -> ASGIApp:
        """Joins the history of an anonymous id into this user's: from the next request on, the user's lists are made of
        both. Asking again changes nothing. 409 when one of the ids has 32 links.
        """
        anonymous_id = decode(_decoder, await read_body(request, MAX_EVENT_BYTES)).anonymous_id
        link = _checked(anonymous_id, path_id(request.scope))
        async with change(database, context_of(request.scope), "merge_users") as changed:
            made, changed_histories = await _join(changed.connection, link)
            if made is None:
                detail = f"One of the ids has {MAX_LINKS} links. Erase what is no longer in use, or undo a link."
                raise ProblemError(ProblemCode.TOO_MANY, detail)
            if made.fresh:
                changed.made([f"link {made.link_id}"], "linked")
        await cache_epoch.write_through(database, cache, changed_histories)
        return reply(link_of(StoredLink(*link, made.linked_at)))

    @delete(
        "/users/{user_id:path}/merge",
        status_code=204,
        opt=schema.call(
            needs="users",
            tag="users",
            query=UnmergeQuery,
            answers={204: None, **schema.problems(404, 409), **_PROBLEMS},
        ),
    )
    async def unmerge_user(request: Request[Any, Any, Any]) -> ASGIApp:
        """Takes an anonymous id out of the account again, within a day: 409 later. Events do not link them again, only
        `POST` does.
        """
        anonymous_id = schema.query_of(request.scope, UnmergeQuery).anonymous_id
        link = _checked(anonymous_id, path_id(request.scope))
        async with change(database, context_of(request.scope), "undo_merge") as changed:
            locked = await features.lock_histories(changed.connection, link)
            undone = await user_links.undo(changed.connection, link)
            if undone == "none":
                raise ProblemError(ProblemCode.NO_SUCH_LINK, "These ids are not linked.")
            if undone == "too late":
                raise ProblemError(
                    ProblemCode.TOO_LATE, "The link is more than a day old. It stays until one of the ids is erased."
                )
            changed_histories = await _rejoined(changed.connection, locked, link.user_id)
            changed.made([f"link {undone}"], "undone")
        await cache_epoch.write_through(database, cache, changed_histories)
        return Reply(b"", status=204)

    return [merge_user, unmerge_user]


def _checked(anonymous_id: str, user_id: str) -> Link:
    if anonymous_id == user_id:
        raise InvalidInput(FieldError("$.anonymous_id", "is the user itself; name the id of before the log-in"))
    return Link(anonymous_id, user_id)


async def join_new(database: Database, cache: HistoryCache | None, links: Collection[Link], erasures_then: int) -> int:
    """Makes those links that were never there; returns how many. Raises `DependencyDown`.

    `erasures_then`: the number of the last erasure when they were received. None comes back after that of one of its
    ids.
    """
    async with database.connection() as connection:
        missing = await user_links.missing(connection, links)
    count = 0
    for link in missing:
        async with database.connection() as connection, connection.transaction():
            made, changed = await _join(connection, link, erasures_then=erasures_then)
        if made is not None:
            await cache_epoch.write_through(database, cache, changed)
        count += made is not None
    return count


async def _join(
    connection: "Connection", link: Link, *, erasures_then: int | None = None
) -> tuple[Made | None, dict[str, Versioned]]:
    """Makes a link; None when an id has too many. In a transaction, after which the histories that are returned go to
    the cache: also those of a link that was there, since whoever made it may have died before.

    `erasures_then`: of a link that an event made; then None also when it was undone, or an id erased since. Without, a
    link that was undone is made again.
    """
    locked = await features.lock_histories(connection, link)
    if erasures_then is not None:
        erased = await erasures.last(connection, link)
        if any(last.came_after(erasures_then, received_ms=0) for last in erased.values()):
            await features.drop_empty_histories(connection, list(link))
            return None, {}
    made = await user_links.make(connection, link, again=erasures_then is None)
    if made is not None and made.fresh:
        return made, await _rejoined(connection, locked, link.user_id)
    return made, await _with_joined(connection, locked)


async def _rejoined(connection: "Connection", locked: dict[str, Versioned], user_id: str) -> dict[str, Versioned]:
    """After a change of what is joined into this user: another version of the history, which is not changed itself."""
    before = locked[user_id]
    await features.write_histories(connection, {user_id: before.history})
    return await _with_joined(connection, locked | {user_id: Versioned(before.version + 1, before.history)})


async def _with_joined(connection: "Connection", locked: dict[str, Versioned]) -> dict[str, Versioned]:
    joined = await user_links.joined(connection, locked)
    return {user_id: Versioned(one.version, one.history, joined.get(user_id, ())) for user_id, one in locked.items()}
