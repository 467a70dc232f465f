"""Tables that are changed while a rebuild makes others of their shape."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.adapters import building, generations
from app.errors import UserError
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild
from app.rebuilding.swap import swap
from tests.support.rebuilding import generation

Pool = asyncpg.Pool


@asynccontextmanager
async def ready_to_swap(database_url: str) -> AsyncIterator[tuple[Rebuild, asyncpg.Connection]]:
    """A rebuild that has folded all events, of which there are none."""
    async with building.connection(database_url) as live, building.connection(database_url, building=True) as built:
        await generations.begin_first(live)
        rebuild = Rebuild(database_url, live, log=LocalLog(), dedupe_days=35.0)
        await rebuild.begin(slices=1)
        async with built.transaction():
            await building.index_pairs(built)
        yield rebuild, built


async def swapped(rebuild: Rebuild, built: asyncpg.Connection) -> None:
    await swap(rebuild, built, lambda _: None, fewer_are_fine=False, actor="ann")


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        (
            "ALTER TABLE item_stats ADD COLUMN novel integer NOT NULL DEFAULT 0",
            "ALTER TABLE item_stats DROP COLUMN novel",
            "column novel of item_stats",
        ),
        (
            "ALTER TABLE user_history ALTER COLUMN history SET DEFAULT 'novel'",
            "ALTER TABLE user_history ALTER COLUMN history SET DEFAULT ''",
            "column history of user_history",
        ),
        (
            "ALTER TABLE item_pairs ADD CONSTRAINT novel CHECK (weight < 1e300)",
            "ALTER TABLE item_pairs DROP CONSTRAINT novel",
            "constraint novel of item_pairs",
        ),
        ("CREATE INDEX novel ON item_pairs (weight)", "DROP INDEX novel", "index novel of item_pairs"),
    ],
)
async def test_tables_that_a_migration_has_changed_meanwhile_are_not_swapped(
    database_url: str, pool: Pool, change: str, undo: str, told: str
) -> None:
    async with ready_to_swap(database_url) as (rebuild, built):
        await pool.execute(change)
        with pytest.raises(
            UserError, match=f"changed since this rebuild was begun, as by a migration: {told}. The new"
        ):
            await swapped(rebuild, built)
        assert await generation(pool) == 1
        await pool.execute(undo)
        await swapped(rebuild, built)
        assert await generation(pool) == 2
