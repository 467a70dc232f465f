"""The schema of the generation that `reco rebuild` makes, and the names of the tables that serve beside it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

SCHEMA: Final = "reco_building"


@asynccontextmanager
async def live_names(connection: "Connection") -> AsyncIterator[str]:
    """Inside of a transaction: the names are those of the tables that serve. Gives their schema, quoted."""
    path: str = await connection.fetchval("SHOW search_path")
    live = path.removeprefix(f"{SCHEMA}, ")
    await connection.execute("SELECT set_config('search_path', $1, true)", live)
    yield live
    await connection.execute("SELECT set_config('search_path', $1, true)", path)
