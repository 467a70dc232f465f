"""The feed of changes: which items got new features or a new card, and that rules changed, for those who keep
them in memory.

A row is written in the transaction of the change itself, so it can neither be lost nor come too early. Transactions do
not commit in the order of their ids: `app.core.watermark` tells what may still come.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from app.adapters import sql

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_READ_LIMIT: Final = 200
# Longer than any transaction and any reader's absence that caches outlive.
KEEP_SEC: Final = 300.0
# Stands among the items of a change and is none, as no item has an empty id: the rules of what is served changed.
RULES_CHANGED: Final = ""


async def record(connection: "Connection", item_ids: Collection[str]) -> None:
    """Says that these items changed. In the transaction that changes them."""
    await connection.execute(_SQL["record"], list(item_ids))


async def newest(connection: "Connection") -> int:
    """The last id so far; 0 when there is none."""
    found: int = await connection.fetchval(_SQL["newest"])
    return found


async def read(connection: "Connection", after: int, seen: Collection[int]) -> list[tuple[int, list[str]]]:
    """Changes with an id above `after` that are not in `seen`, oldest first: the id, and the items."""
    return [(row[0], row[1]) for row in await connection.fetch(_SQL["read"], after, list(seen), _READ_LIMIT)]


async def prune(connection: "Connection") -> None:
    """Removes what every reader has seen long since."""
    await connection.execute(_SQL["prune"], KEEP_SEC)
