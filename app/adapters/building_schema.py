"""The schema of the generation that `reco rebuild` makes, and the tables that serve beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.errors import UserError

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

SCHEMA: Final = "reco_building"

_SQL: Final = sql.load(__file__)


async def live_schema(connection: "Connection") -> str:
    """The schema of the tables that this connection's names mean, quoted."""
    found: str = await connection.fetchval(_SQL["live_schema"])
    return found


@asynccontextmanager
async def live_names(connection: "Connection") -> AsyncIterator[str]:
    """Inside of a transaction: the names are those of the tables that serve. Gives their schema, quoted."""
    path: str = await connection.fetchval("SHOW search_path")
    live = path.removeprefix(f"{SCHEMA}, ")
    await connection.execute("SELECT set_config('search_path', $1, true)", live)
    yield live
    await connection.execute("SELECT set_config('search_path', $1, true)", path)


async def check_shape(connection: "Connection", *, pairs_indexed: bool) -> None:
    """Raises `UserError` when the tables that serve were changed since the new ones were made. In a transaction.

    `pairs_indexed`: the new table of pairs has its indexes.
    """
    async with live_names(connection):
        serving = {tuple(row) for row in await connection.fetch(_SQL["shape"], await live_schema(connection))}
        made = {tuple(row) for row in await connection.fetch(_SQL["shape"], SCHEMA)}
    changed = {
        " ".join(filter(None, (kind, name, "of", table)))
        for table, kind, name, _ in serving ^ made
        if pairs_indexed or (table, kind) != ("item_pairs", "index")
    }
    if changed:
        raise UserError(
            "The tables that serve were changed since this rebuild was begun, as by a migration: "
            f"{', '.join(sorted(changed))}. The new ones are as those were then. Give it up with `reco rebuild "
            "--drop`, and begin again"
        )


async def dependents(connection: "Connection") -> list[str]:
    """What others have made on the tables that serve, and the new ones do not have: views, triggers, foreign keys and
    functions, as Postgres describes them. In a transaction.
    """
    async with live_names(connection):
        return [told for (told,) in await connection.fetch(_SQL["dependents"])]
