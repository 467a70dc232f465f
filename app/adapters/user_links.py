"""Links between the ids of one person (docs/adr/0061).

A link is made or undone while the histories of both its ids are locked, as an erasure locks those that it erases. So
an erasure erases what is linked at its commit, and what waited for it reads its number.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from app import metrics
from app.adapters import sql
from app.adapters.arrays import joined_texts
from app.core.persons import MAX_LINKS, Link

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

UNDO_SEC: Final = 86_400.0
"""How long a link may be undone, by the database's clock."""


class StoredLink(Struct, frozen=True):
    anonymous_id: str
    user_id: str
    linked_at: datetime

    @property
    def undo_until(self) -> datetime:
        return self.linked_at + timedelta(seconds=UNDO_SEC)


class Made(Struct, frozen=True):
    """`fresh`: it was not there before."""

    link_id: int
    linked_at: datetime
    fresh: bool


async def missing(connection: "Connection", links: Collection[Link]) -> list[Link]:
    """Those that were never made, nor undone."""
    ordered = sorted(links)
    found = await connection.fetch(
        _SQL["missing"],
        joined_texts([link.anonymous_id for link in ordered]),
        joined_texts([link.user_id for link in ordered]),
    )
    return [Link(*row) for row in found]


async def make(connection: "Connection", link: Link, *, again: bool = False) -> Made | None:
    """After the histories of both ids are locked. `again`: also one that was undone. None: one of the ids has as many
    links as it may have, or the link was undone.
    """
    made = await connection.fetchval(_SQL["make"], link.anonymous_id, link.user_id, MAX_LINKS, again)
    row = await connection.fetchrow(_SQL["find"], link.anonymous_id, link.user_id, UNDO_SEC)
    if row is None or (again and row[2] is not None):
        metrics.USER_LINKS_REFUSED.inc()
        return None
    return None if row[2] is not None else Made(row[0], row[1], made is not None)


async def undo(connection: "Connection", link: Link) -> int | Literal["none", "too late"]:
    """After the histories of both ids are locked. The number of the link, or why nothing was undone."""
    row = await connection.fetchrow(_SQL["find"], link.anonymous_id, link.user_id, UNDO_SEC)
    if row is None or row[2] is not None:
        return "none"
    link_id, _, _, may_be_undone = row
    if not may_be_undone:
        return "too late"
    await connection.execute(_SQL["undo"], link.anonymous_id, link.user_id)
    number: int = link_id
    return number


async def joined(connection: "Connection", user_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The anonymous ids of those of these users that have some."""
    return {user_id: tuple(ids) for user_id, ids in await connection.fetch(_SQL["joined"], joined_texts(user_ids))}


async def all_joined(connection: "Connection", user_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The ids that are joined into those of these users, be it by way of others."""
    return {user_id: tuple(ids) for user_id, ids in await connection.fetch(_SQL["all_joined"], joined_texts(user_ids))}


async def of_user(connection: "Connection", user_id: str) -> list[StoredLink]:
    """The links of an id, of either side, oldest first."""
    return [StoredLink(*row) for row in await connection.fetch(_SQL["of_user"], user_id)]


async def around(connection: "Connection", user_id: str) -> list[Link]:
    """All links that `persons.erased_together` has to know of."""
    return [Link(*row) for row in await connection.fetch(_SQL["around"], user_id)]


async def reached(connection: "Connection", pairs: Collection[Link]) -> frozenset[Link]:
    """Those of these pairs whose anonymous id is joined into the user's, be it by way of others."""
    users, others = [pair.user_id for pair in pairs], [pair.anonymous_id for pair in pairs]
    rows = await connection.fetch(_SQL["reached"], joined_texts(users), joined_texts(others))
    return frozenset(Link(other, user_id) for user_id, other in rows)


async def accounts_of(connection: "Connection", anonymous_ids: Collection[str]) -> frozenset[str]:
    """The accounts that these ids are joined into."""
    rows = await connection.fetch(_SQL["accounts_of"], list(anonymous_ids))
    return frozenset(user_id for (user_id,) in rows)


async def forget(connection: "Connection", user_ids: Collection[str]) -> None:
    """Deletes all links of these ids, those that were undone as well."""
    await connection.execute(_SQL["forget"], list(user_ids))
