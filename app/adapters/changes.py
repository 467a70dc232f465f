"""The feed of changes: items with new features or a new card, changes of the rules, and erased users, for processes
that keep copies of them.

A row is written in the transaction of the change, so it is neither lost nor early. Transactions do not commit in the
order of their ids: `app.core.watermark` tells which ids may still appear.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.adapters.arrays import joined_texts

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_READ_LIMIT: Final = 200
# A flood of changes is pruned in several turns, none of which takes a statement too long.
_PRUNED_AT_ONCE: Final = 2_000
# Longer than any transaction, and than a reader can be away before its caches expire.
KEEP_SEC: Final = 300.0
# A sentinel among a change's items, not an item id (no item has an empty id): the rules changed.
RULES_CHANGED: Final = ""
# Another one: there is another model, another one serves, or it was pinned. No item id has an unprintable character.
MODEL_CHANGED: Final = "\t"
# Another one: another generation of sums took the place of the one before (docs/adr/0037).
GENERATION_CHANGED: Final = "\n"
# Another one: an attribute was declared, or its declaration deleted.
ATTRIBUTES_CHANGED: Final = "\x1f"
# Another one: event types were made, changed or deleted.
EVENT_TYPES_CHANGED: Final = "\v"
# Another one: an experiment was started or stopped, or its shares changed.
EXPERIMENTS_CHANGED: Final = "\f"
# And one that a user id follows, alone in its change: the user was erased.
_ERASED: Final = "\x7f"


async def record_items(connection: "Connection", item_ids: Collection[str]) -> None:
    """Announces that these items changed. Call it in the transaction that changes them."""
    await connection.execute(_SQL["record_items"], joined_texts(item_ids))


async def record(connection: "Connection", sentinels: Collection[str]) -> None:
    """Announces changes of other things. Call it in the transaction that changes them."""
    await connection.execute(_SQL["record"], list(sentinels))


async def record_erasure(connection: "Connection", user_id: str) -> None:
    """Announces that what is kept of this user is to be dropped."""
    await record(connection, [_ERASED + user_id])


def erased_user(change: Sequence[str]) -> str | None:
    """The user whose erasure the change announces; None for another change."""
    return change[0][1:] if change and change[0].startswith(_ERASED) else None


async def erasures(connection: "Connection") -> list[list[str]]:
    """The changes that announce erasures, as far back as the feed goes."""
    return [row[0] for row in await connection.fetch(_SQL["erasures"], _ERASED)]


async def newest(connection: "Connection") -> int:
    """The last id; 0 in an empty feed."""
    found: int = await connection.fetchval(_SQL["newest"])
    return found


async def last_id(connection: "Connection") -> int:
    """The id that was given out last. It goes back only when the server does, to a backup or a late standby."""
    found: int = await connection.fetchval(_SQL["last_id"])
    return found


async def read(
    connection: "Connection", after: int, seen: Collection[int]
) -> tuple[float, list[tuple[int, list[str]]]]:
    """The time in seconds by the server's clock; and changes with an id above `after` that are not in `seen`, oldest
    first: the id, and the items.
    """
    rows = await connection.fetch(_SQL["read"], after, list(seen), _READ_LIMIT)
    return rows[0][0], [(row_id, item_ids) for _, row_id, item_ids in rows if row_id is not None]


async def prune(connection: "Connection") -> None:
    """Removes rows that every reader has seen, up to 2,000."""
    await connection.execute(_SQL["prune"], KEEP_SEC, _PRUNED_AT_ONCE)
