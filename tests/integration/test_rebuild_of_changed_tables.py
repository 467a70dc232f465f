"""Tables that somebody changes, or makes something on, while a rebuild makes those that take their place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.adapters import building, generations
from app.devstack import Stack
from app.errors import UserError
from app.rebuilding.local_log import LocalLog
from app.rebuilding.rebuild import Rebuild
from app.rebuilding.swap import swap
from tests.support.database import as_superuser
from tests.support.rebuilding import generation, rebuild, rebuilt

Pool = asyncpg.Pool


@asynccontextmanager
async def ready_to_swap(database_url: str) -> AsyncIterator[tuple[Rebuild, asyncpg.Connection]]:
    """A rebuild that has folded all events, of which there are none."""
    async with building.connection(database_url) as live, building.connection(database_url, building=True) as built:
        await generations.begin_first(live)
        begun = Rebuild(database_url, live, log=LocalLog(), dedupe_days=35.0)
        await begun.begin(slices=1)
        async with built.transaction():
            await building.index_pairs(built)
        yield begun, built


async def swapped(begun: Rebuild, built: asyncpg.Connection) -> None:
    await swap(begun, built, lambda _: None, fewer_are_fine=False, actor="ann")


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
        (
            "ALTER TABLE item_stats SET (fillfactor = 90)",
            "ALTER TABLE item_stats SET (fillfactor = 50)",
            "storage parameters of item_stats",
        ),
        (
            "ALTER TABLE user_history SET (toast.autovacuum_enabled = off)",
            "ALTER TABLE user_history RESET (toast.autovacuum_enabled)",
            "storage parameters for TOAST of user_history",
        ),
    ],
)
async def test_tables_that_a_migration_has_changed_meanwhile_are_not_swapped(
    database_url: str, pool: Pool, change: str, undo: str, told: str
) -> None:
    async with ready_to_swap(database_url) as (begun, built):
        await pool.execute(change)
        with pytest.raises(
            UserError, match=f"changed since this rebuild was begun, as by a migration: {told}. The new"
        ):
            await swapped(begun, built)
        assert await generation(pool) == 1
        await pool.execute(undo)
        await swapped(begun, built)
        assert await generation(pool) == 2


async def test_tables_that_have_another_owner_meanwhile_are_not_swapped(stack: Stack, database_url: str) -> None:
    async with ready_to_swap(as_superuser(stack, database_url)) as (begun, built):
        await built.execute("ALTER TABLE public.user_history OWNER TO CURRENT_USER")
        with pytest.raises(UserError, match=r": owner of user_history\. The new"):
            await swapped(begun, built)


_FUNCTION = "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
_MADE = {
    "view popular": "CREATE VIEW popular AS SELECT item_id FROM item_stats",
    "materialized view met": "CREATE MATERIALIZED VIEW met AS SELECT count(*) FROM item_pairs",
    "trigger watched on table user_history": (
        f"{_FUNCTION}; CREATE TRIGGER watched AFTER INSERT ON user_history FOR EACH STATEMENT EXECUTE FUNCTION watch()"
    ),
    "constraint notes_item_key_fkey on table notes": "CREATE TABLE notes (item_key integer REFERENCES item_stats)",
    "constraint known on table item_stats": (
        "ALTER TABLE item_stats ADD CONSTRAINT known FOREIGN KEY (item_id) REFERENCES items NOT VALID"
    ),
    "function pairs()": "CREATE FUNCTION pairs() RETURNS bigint RETURN (SELECT count(*) FROM item_pairs)",
    "function name(item_stats)": "CREATE FUNCTION name(one item_stats) RETURNS text RETURN one.item_id",
}


async def test_what_others_have_made_on_the_tables_is_told_and_stays(database_url: str, pool: Pool) -> None:
    async with ready_to_swap(database_url) as (begun, built):
        for statement in _MADE.values():
            await pool.execute(statement)
        with pytest.raises(UserError, match="On item_stats, user_history or item_pairs there are: ") as raised:
            await swapped(begun, built)
    for told in _MADE:
        assert f" {told}, " in str(raised.value) or f" {told}. " in str(raised.value)
    await rebuilt(database_url, "--drop")
    code, output = await rebuild(database_url, "--yes")
    assert (code, await generation(pool)) == (2, 1), output
    assert "Drop it, run the same command again, and make it anew after the rebuild" in output
    assert await pool.fetchval("SELECT to_regnamespace('reco_building')") is None


async def test_constraint_that_was_never_checked_for_old_rows_is_no_change(database_url: str, pool: Pool) -> None:
    await pool.execute("ALTER TABLE item_pairs ADD CONSTRAINT apart CHECK (item_a <> item_b) NOT VALID")
    code, output = await rebuild(database_url, "--yes")
    assert (code, await generation(pool)) == (0, 2), output


async def test_new_tables_and_their_sequence_have_the_privileges_of_the_old_ones(database_url: str, pool: Pool) -> None:
    """Without that of the sequence, a service that is not the owner would not be ready after its next connection."""
    given = (
        "SELECT relname, relacl::text FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relname IN ('item_stats', 'item_stats_item_key_seq') "
        "UNION ALL SELECT attname, attacl::text FROM pg_attribute WHERE attrelid = 'item_stats'::regclass"
    )
    await pool.execute("GRANT SELECT, UPDATE ON SEQUENCE item_stats_item_key_seq TO pg_monitor WITH GRANT OPTION")
    await pool.execute("GRANT USAGE ON SEQUENCE item_stats_item_key_seq TO PUBLIC")
    await pool.execute("GRANT INSERT, UPDATE (views, clicks) ON item_stats TO pg_monitor")
    await pool.execute("ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO pg_monitor")
    async with ready_to_swap(database_url) as (begun, built):
        # Meanwhile:
        await pool.execute("GRANT SELECT ON item_stats TO pg_monitor")
        await pool.execute("REVOKE INSERT, UPDATE (views) ON item_stats FROM pg_monitor")
        await pool.execute("REVOKE USAGE ON SEQUENCE item_stats_item_key_seq FROM PUBLIC")
        before = dict(await pool.fetch(given))
        held = {name: privileges for name, privileges in before.items() if privileges and "pg_monitor=" in privileges}
        assert held.keys() == {"item_stats", "item_stats_item_key_seq", "clicks"}
        await swapped(begun, built)
    assert dict(await pool.fetch(given)) == before
