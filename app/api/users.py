"""What is stored about a user, and its erasure everywhere."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters import cache_epoch, catalogue, erasures, event_types, experiments, users
from app.adapters.history_cache import HistoryCache, Settled
from app.adapters.postgres import Database
from app.api.audited import change
from app.api.merging import UserLink, link_of
from app.api.timestamps import Timestamp
from app.core.catalogue import UNKNOWN
from app.core.experiments import Lists
from app.core.history import standing
from app.core.kinds import kind_name
from app.http import schema
from app.http.context import RequestContext, context_of
from app.http.path_ids import path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

_PROBLEMS: Final = schema.problems(404, 422, 503)


class UserQuery(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=0, le=1000, description="How many of the latest events to show.")] = 100


class UsersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=100, description="How many users to name.")] = 20


class RecentUser(Struct):
    """`last_at`: when the service received the user's last event."""

    user_id: str
    last_at: Timestamp


class RecentUsers(Struct):
    """The latest first."""

    users: list[RecentUser]


class UserHistoryEntry(Struct):
    """One entry of the user's history. `title` and `picture_url`: those of the item, if the catalogue has them."""

    item_id: str
    title: str | None
    picture_url: str | None
    kind: str
    ts_ms: int
    weight: float


class UserExperiment(Struct, kw_only=True):
    """An experiment that runs, and the variant that the user gets. `exposed_at`: when the user was first shown such a
    list; null before the impression is counted.
    """

    experiment: str
    lists: Lists
    variant: str
    exposed_at: Timestamp | None


class UserData(Struct, kw_only=True):
    """`events` counts all stored events; `latest` shows the newest. `queued`: events on the way to the features.

    `erased_at`: events received up to then were erased. `links`: the anonymous ids that are joined into this user, and
    the users that this id is joined into. What is shown of them is under their own ids.
    """

    user_id: str
    events: int
    first_ts_ms: int | None
    last_ts_ms: int | None
    queued: int
    dead_letters: int
    latest: list[dict[str, Any]]
    history: list[UserHistoryEntry]
    erased_at: Timestamp | None
    links: list[UserLink]
    experiments: list[UserExperiment]


class UserErasure(Struct):
    """The number of removed rows. `erased_ids`: the user's, and those that are linked to it."""

    user_id: str
    erased_ids: list[str]
    events: int
    queued: int
    dead_letters: int
    erased_at: Timestamp


def handlers(database: Database, cache: HistoryCache | None, forget: Callable[[str], None]) -> list[HTTPRouteHandler]:
    """The routes; `forget` drops the copy of a user's history that this process keeps for outages."""

    @get(
        "/users",
        opt=schema.call(
            needs="users", tag="users", query=UsersQuery, answers={200: RecentUsers, **schema.problems(422, 503)}
        ),
    )
    async def get_users(request: Request[Any, Any, Any]) -> ASGIApp:
        """Some users of the latest events, to look at. It is a sample, and not all users."""
        limit = schema.query_of(request.scope, UsersQuery).limit
        async with database.connection() as connection:
            found = await users.read_recent(connection, limit)
        return reply(RecentUsers([RecentUser(user_id, last_at) for user_id, last_at in found]))

    @get(
        "/users/{user_id:path}",
        opt=schema.call(needs="users", tag="users", query=UserQuery, answers={200: UserData, **_PROBLEMS}),
    )
    async def get_user(request: Request[Any, Any, Any]) -> ASGIApp:
        """What is stored about a user: events, history, and events on their way. 404 when there is nothing."""
        limit = schema.query_of(request.scope, UserQuery).limit
        user_id = path_id(request.scope)
        async with database.connection() as connection:
            stored = await users.read(connection, user_id, limit=limit)
            types = await event_types.read_types(connection)
            running = await experiments.read_of_user(connection, user_id)
            cards = await catalogue.read_cards(connection, list({entry.item_id for entry in stored.history.entries}))
        if stored.empty:
            raise ProblemError(ProblemCode.NO_SUCH_USER, "Nothing is stored about this user.")
        return reply(
            UserData(
                user_id=user_id,
                events=stored.events,
                first_ts_ms=stored.first_ts_ms,
                last_ts_ms=stored.last_ts_ms,
                queued=stored.queued,
                dead_letters=stored.dead_letters,
                latest=[msgspec.json.decode(payload) for payload in stored.latest],
                history=[
                    UserHistoryEntry(
                        entry.item_id,
                        cards.get(entry.item_id, UNKNOWN).title,
                        cards.get(entry.item_id, UNKNOWN).picture_url,
                        kind_name(entry.kind, types),
                        entry.at_ms,
                        entry.weight,
                    )
                    for entry in standing(stored.history).entries
                ],
                erased_at=stored.erased_at,
                links=[link_of(link) for link in stored.links],
                experiments=[
                    UserExperiment(
                        experiment=str(one.layer.experiment),
                        lists=one.body.lists,
                        variant=one.layer.variants.of(user_id).name,
                        exposed_at=exposed_at,
                    )
                    for one, exposed_at in running
                ],
            )
        )

    @delete(
        "/users/{user_id:path}",
        status_code=200,
        opt=schema.call(needs="users", tag="users", answers={200: UserErasure, **schema.problems(422, 503)}),
    )
    async def delete_user(request: Request[Any, Any, Any]) -> ASGIApp:
        """Removes everything received of a user until now, and of the ids that are linked to the user's. Events on
        their way, or replayed later, are not counted. Sums of items, which hold no user ids, stay. Events sent
        afterwards are new.
        """
        return reply(await erase(database, cache, forget, context_of(request.scope), path_id(request.scope)))

    return [get_users, get_user, delete_user]


async def erase(
    database: Database,
    cache: HistoryCache | None,
    forget: Callable[[str], None],
    context: RequestContext,
    user_id: str,
) -> UserErasure:
    """Erases a person everywhere, and records it in the audit log. Raises `DependencyDown`."""
    async with change(database, context, "erase_user") as changed:
        begun = await erasures.begin(changed.connection, user_id)
        erased = begun.erasures
        changed.made([f"erasure {erasure.number}" for erasure in erased], "erased")
    try:
        await cache_epoch.write_through(
            database,
            cache,
            begun.histories,
            settled=Settled(erased={erasure.user_id: erasure.number for erasure in erased}),
        )
    finally:
        for erasure in erased:
            forget(erasure.user_id)
    removed = await erasures.finish(database, erased)
    ids = [erasure.user_id for erasure in erased]
    return UserErasure(user_id, ids, removed.events, removed.queued, removed.dead_letters, erased[0].erased_at)
