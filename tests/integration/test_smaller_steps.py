"""What is to go goes, and what is lost is found, although Postgres gives up on a whole step: the steps become smaller
until they fit.
"""

from contextlib import suppress
from typing import Any, Final

import asyncpg
import pytest

from app.adapters import erasures
from app.adapters.postgres import Database
from app.errors import DependencyDown
from tests.support.pipeline import database, keeping, until
from workers.gone import GoneRemover
from workers.retention import Retention
from workers.uncounted import UncountedEvents

OLD: Final = "now() - interval '500 days'"
ROWS: Final = {
    "user_history": (  # three of them in a block
        "INSERT INTO user_history (user_id, history, updated_at) "
        f"SELECT 'u' || n, decode(repeat(md5(n::text), 90), 'hex'), {OLD} FROM generate_series(1, 40) AS s (n)"
    ),
    "audit_log": (
        "INSERT INTO audit_log (recorded_at, action, targets, outcome, count) "
        f"SELECT {OLD}, 'act', '{{}}', 'done', n FROM generate_series(1, 40) AS s (n)"
    ),
    "events": (
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload) "
        "SELECT 'e' || n, 'view', 'ann', 's', 1, '', '{}' FROM generate_series(1, 40) AS s (n)"
    ),
}


async def erase(opened: Database) -> None:
    async with opened.connection() as connection:
        begun = await erasures.begin(connection, "ann")
    assert (await erasures.finish(opened, begun.erasures)).events == 40


@pytest.mark.parametrize(
    ("table", "remove"),
    [
        pytest.param("user_history", lambda opened: GoneRemover(opened, keeping()).sweep, id="of users who are gone"),
        pytest.param("audit_log", lambda opened: Retention(opened, keeping()).sweep, id="expired"),
        pytest.param("events", lambda opened: lambda: erase(opened), id="of an erased user"),
    ],
)
async def test_deletion_that_is_too_slow_is_halved_until_it_fits(
    pool: asyncpg.Pool, database_url: str, table: str, remove: Any
) -> None:
    await pool.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END $$;"
        f"CREATE TRIGGER linger BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    await pool.execute(ROWS[table])
    async with database(database_url, statement_timeout_ms=300) as opened:
        turn = remove(opened)

        async def is_empty() -> bool:
            with suppress(DependencyDown):
                await turn()
            return await pool.fetchval(f"SELECT count(*) FROM {table}") == 0

        await until(is_empty, within_sec=60.0)


async def test_busy_hour_after_quiet_days_is_looked_at_in_shorter_steps(pool: asyncpg.Pool, database_url: str) -> None:
    await pool.execute(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at) "
        "SELECT 'e' || n, 'view', 'ann', 's', 1, '', '{}', now() - make_interval(mins => n) "
        "FROM generate_series(1, 40) AS s (n);"
        "CREATE FUNCTION linger() RETURNS boolean LANGUAGE plpgsql VOLATILE AS "
        "$$ BEGIN PERFORM pg_sleep(0.02); RETURN TRUE; END $$;"
        "ALTER TABLE events RENAME TO slow_events;"
        "CREATE VIEW events AS SELECT * FROM slow_events WHERE linger()"
    )
    async with database(database_url, statement_timeout_ms=300) as opened:
        check = UncountedEvents(opened, within_sec=30.0)

        async def are_all_known() -> bool:
            with suppress(DependencyDown):
                return await check.look() == 40
            return False

        await until(are_all_known, within_sec=60.0)
