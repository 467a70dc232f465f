"""What a rebuild waits for, who waits for it, and what it does not need: the former tables."""

import asyncio
import subprocess

import asyncpg
import psycopg
import pytest
from click.testing import CliRunner

from app.adapters import building, rebuild_locks
from app.adapters.postgres import Database
from app.cli import main
from app.errors import DependencyDown
from tests.support.pipeline import until
from tests.support.postgres_servers import own_postgres
from tests.support.rebuilding import generation, log, rebuild, rebuilt, start_rebuild, store_and_count
from tests.support.service import eventually
from workers.batch import FeatureWriter

Pool = asyncpg.Pool

# As whoever removes items that are gone takes it.
_LOCK = "SELECT pg_try_advisory_xact_lock(7236353)"
_TRIES = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reco rebuild' AND query LIKE '%(7236353)%'"


async def swapped(process: subprocess.Popen[str]) -> None:
    """A rebuild that has waited for somebody ends well."""
    output, _ = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, output


@pytest.mark.slow
async def test_rebuild_waits_for_maintenance_that_removes_items(
    database_url: str, opened: Database, pool: Pool
) -> None:
    await store_and_count(pool, FeatureWriter(opened, max_retries=1), log(100))

    async def it_tries() -> bool:
        return bool(await pool.fetchval(_TRIES))

    async with pool.acquire() as other, other.transaction():
        assert await other.fetchval(_LOCK)
        process = start_rebuild(database_url)
        await until(it_tries, 60.0)
    await swapped(process)
    assert await generation(pool) == 2


async def test_rebuild_takes_longer_than_the_role_may(database_url: str, pool: Pool) -> None:
    name = await pool.fetchval("SELECT quote_ident(current_database())")
    for limit in ("statement_timeout", "transaction_timeout"):
        if await pool.fetchval("SELECT count(*) FROM pg_settings WHERE name = $1", limit):  # 17 and later have both
            await pool.execute(f"ALTER DATABASE {name} SET {limit} = 60000")
    async with building.connection(database_url) as live:
        limits = "SELECT setting FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout')"
        assert {setting for (setting,) in await live.fetch(limits)} == {"0"}


async def test_session_that_is_lost_is_noticed(database_url: str, pool: Pool) -> None:
    connected = building.connection(database_url)
    live = await connected.__aenter__()
    await rebuild_locks.check_alive(live)
    assert await pool.fetchval("SELECT pg_terminate_backend($1, 10000)", live.get_server_pid())
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as raised:
        await rebuild_locks.check_alive(live)
    with pytest.raises(DependencyDown):
        await connected.__aexit__(type(raised.value), raised.value, None)


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), asyncpg.LockNotAvailableError("lock timeout"), asyncpg.InterfaceError("it is closed")],
)
async def test_rebuild_that_cannot_drop_the_former_tables_says_that_it_is_done_and_what_is_left(
    database_url: str, pool: Pool, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Ctrl-C cancels whatever it waits for; a transaction may hold the tables; the connection may be lost."""

    async def fails(_connection: asyncpg.Connection) -> None:
        raise error

    monkeypatch.setattr(building, "drop_former", fails)
    runner = CliRunner(env={"DATABASE_URL": database_url, "APP_ENV": "test"})
    done = await asyncio.to_thread(runner.invoke, main, ["rebuild"])
    assert (done.exit_code, await generation(pool)) == (0, 2), done.output
    assert "The new generation serves: 0 events" in done.output
    assert "in the schema reco_retired. `reco rebuild --drop` drops them" in done.output
    assert await pool.fetchval("SELECT to_regnamespace('reco_retired')") is not None
    await rebuilt(database_url, "--drop")
    assert await pool.fetchval("SELECT to_regnamespace('reco_retired')") is None
    assert await generation(pool) == 2


async def test_former_tables_are_dropped_and_not_those_of_another_rebuild(pool: Pool) -> None:
    """The session of the rebuild may be lost by then, and with it its right to be the only one."""
    for schema in ("reco_retired", "reco_building"):
        await pool.execute(f"CREATE SCHEMA {schema}")
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO feature_generations VALUES (2, 'building', '{}', '{}')")
        await building.drop_former(connection)
        assert await building.schemas(connection) == ["reco_building"]
        await pool.execute("DELETE FROM feature_generations WHERE state = 'building'")
        await building.drop_former(connection)
        assert await building.schemas(connection) == []


async def test_tables_of_a_publication_are_rebuilt_when_told_to_alone(database_url: str, pool: Pool) -> None:
    await pool.execute("CREATE PUBLICATION copies FOR TABLE item_stats")
    code, output = await rebuild(database_url, "--yes")
    assert (code, await generation(pool)) == (2, 1), output
    assert "item_stats, user_history or item_pairs are in the publication copies." in output
    await rebuilt(database_url, "--despite-publication")
    assert await generation(pool) == 2


async def test_nobody_waits_for_a_rebuild_that_waits_for_a_vacuum(database_url: str, pool: Pool) -> None:
    """One that Postgres does not end; an autovacuum it ends after a second of waiting."""

    async def waits() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT count(*) FROM pg_locks WHERE relation = 'item_pairs'::regclass "
                "AND mode = 'ShareUpdateExclusiveLock' AND NOT granted"
            )
        )

    async with pool.acquire() as vacuum, pool.acquire() as another:
        transaction = vacuum.transaction()
        await transaction.start()
        await vacuum.execute("LOCK TABLE item_pairs IN SHARE UPDATE EXCLUSIVE MODE")  # as VACUUM does
        process = start_rebuild(database_url)
        await until(waits, 60.0)
        await another.execute("SET lock_timeout = '1ms'")
        await another.execute("INSERT INTO item_stats (item_id) VALUES ('one')")
        await another.execute("SELECT FROM item_pairs FOR UPDATE")
        async with another.transaction():
            await rebuild_locks.stop_counting(another, wait_ms=1)
        await another.execute("SELECT erase_in_building('ann')")
        assert await waits()
        await transaction.rollback()
    await swapped(process)
    assert await pool.fetchval("SELECT array_agg(item_id) FROM item_stats") == ["one"]


@pytest.mark.slow
def test_autovacuum_of_the_tables_gives_way_to_the_swap() -> None:
    """Of large tables it takes minutes; of this one, too, since it sleeps after each page."""
    sleepy = {"autovacuum_naptime": "1s", "autovacuum_vacuum_cost_limit": "1", "autovacuum_vacuum_cost_delay": "100ms"}
    with own_postgres(sleepy) as server:
        output, _ = start_rebuild(server.url, "--drop").communicate(timeout=60)  # it applies the migrations
        assert "No rebuild is unfinished now." in output
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("INSERT INTO item_stats (item_id) SELECT n::text FROM generate_series(1, 50000) AS n")
            connection.execute("UPDATE item_stats SET events = 1")
            vacuums = (
                "SELECT FROM pg_locks WHERE relation = 'item_stats'::regclass AND mode = 'ShareUpdateExclusiveLock'"
            )
            eventually(lambda: connection.execute(vacuums).fetchone() is not None, 60.0)
            process = start_rebuild(server.url, "--yes")
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output
            assert connection.execute("SELECT count(*) FROM item_stats").fetchone() == (50_000,)


async def test_nobody_waits_long_for_a_rebuild_that_waits_for_a_reader(database_url: str, pool: Pool) -> None:
    async def gave_up() -> bool:
        return bool(
            await pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reco rebuild' AND state = 'idle' "
                "AND query = 'ROLLBACK;'"
            )
        )

    async with pool.acquire() as reader, pool.acquire() as another:
        await another.execute("SET lock_timeout = '800ms'")
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT FROM item_pairs")
        process = start_rebuild(database_url)
        await until(gave_up, 60.0)
        for _ in range(500):
            await another.fetch("SELECT FROM item_stats LIMIT 1")
            await asyncio.sleep(0.005)
        await transaction.rollback()
    await swapped(process)


async def test_error_of_another_server_is_not_blamed_on_postgres(database_url: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        async with building.connection(database_url):
            raise ConnectionRefusedError
    connected = building.connection(database_url)
    (await connected.__aenter__()).terminate()
    with pytest.raises(DependencyDown):
        await connected.__aexit__(ConnectionResetError, ConnectionResetError(), None)
