"""The pool against a real Postgres that falls silent."""

import asyncio
import contextlib
import gc

import asyncpg
import pytest

from app import metrics
from app.adapters.postgres import Database
from app.errors import Busy, DependencyDown
from tests.faults.proxy import proxied_url
from tests.support.pipeline import counted, database, until


async def test_one_silent_connection_is_enough_to_give_up_all_of_the_pool(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, url):
        async with database(url, min_size=4, statement_timeout_ms=200) as opened:
            proxy.black_hole()
            proxy.heal()
            with pytest.raises(DependencyDown) as silent:
                await ask(opened)
            assert not isinstance(silent.value, Busy)
            await opened.open()
            assert await ask(opened) == 1


async def test_a_silent_pool_fails_for_all_who_share_it_and_not_for_the_next(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, url):
        async with database(url, min_size=2, statement_timeout_ms=200) as opened:

            async def idle_while_another_falls_silent() -> None:
                async with opened.connection() as idle:
                    proxy.black_hole()
                    proxy.heal()
                    with pytest.raises(DependencyDown):
                        await ask(opened)
                    await opened.open()
                    await idle.execute("SELECT 1")

            with pytest.raises(DependencyDown, match=r"closed|released"):
                await idle_while_another_falls_silent()
            assert await ask(opened) == 1


@pytest.mark.parametrize("in_transaction", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("deadlines", [1, pytest.param(2, marks=pytest.mark.slow)])
async def test_silent_postgres_holds_nobody_beyond_a_deadline(
    database_url: str, deadlines: int, in_transaction: bool
) -> None:
    """Also with one deadline in another, as a probe has: no error is left unread, and no connection is lost."""
    unread: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(context))

    async def ask_with_deadlines(opened: Database) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for after_sec in (0.8, 0.5)[-deadlines:]:
                await stack.enter_async_context(asyncio.timeout(after_sec))
            await ask_in_transaction(opened) if in_transaction else await ask(opened)

    async def ask_in_transaction(opened: Database) -> None:
        async with opened.connection() as connection, connection.transaction():
            began.set()
            await silent.wait()
            await connection.fetchval("SELECT 1")

    began, silent = asyncio.Event(), asyncio.Event()
    with proxied_url(database_url) as (proxy, url):
        async with database(url, max_size=1, statement_timeout_ms=60_000, connect_timeout_sec=5.0) as opened:
            if not in_transaction:
                proxy.black_hole()
            asking = asyncio.create_task(ask_with_deadlines(opened))
            if in_transaction:
                await began.wait()
                proxy.black_hole()
                silent.set()
            # Long before Postgres would be given up.
            ended, _ = await asyncio.wait([asking], timeout=2.0)
            assert ended == {asking}
            assert isinstance(asking.exception(), TimeoutError)
            proxy.heal()
            await until(lambda: answers(opened))
    gc.collect()
    assert unread == []


async def test_server_that_takes_no_further_connection_is_not_busy(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, url):
        async with database(url, min_size=1, max_size=2, connect_timeout_sec=0.5) as opened, opened.connection():
            proxy.black_hole()
            with pytest.raises(DependencyDown) as silent:
                await ask(opened)
            assert not isinstance(silent.value, Busy)
            proxy.heal()


async def test_work_cancelled_on_a_live_server_keeps_its_connection(database_url: str) -> None:
    async with database(database_url, max_size=1) as opened:
        sessions = opened.sessions
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(opened, "SELECT pg_sleep(60)")
        assert await ask(opened) == 1
        assert opened.sessions == sessions


async def test_transaction_cancelled_on_a_live_server_is_rolled_back_and_keeps_its_connection(
    database_url: str,
) -> None:
    async def insert_and_wait(opened: Database) -> None:
        async with opened.connection() as connection, connection.transaction(), connection.transaction():
            await connection.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('of nobody')")
            await connection.execute("SELECT pg_sleep(60)")

    async with database(database_url, max_size=1) as opened:
        sessions = opened.sessions
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await insert_and_wait(opened)
        async with opened.connection() as connection, connection.transaction():
            assert await connection.fetchval("SELECT count(*) FROM feature_event_consumed") == 0
        assert opened.sessions == sessions


async def test_a_transaction_whose_client_is_lost_is_ended_by_the_server(database_url: str, pool: asyncpg.Pool) -> None:
    """Parsed and never bound: the server is not idle in its own eyes, and would keep the locks without an end."""

    silent, freed = asyncio.Event(), asyncio.Event()

    async def gone() -> bool:
        return not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass AND granted")

    async def fall_silent(opened: Database) -> None:
        async with opened.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE items")
            await connection.prepare("SELECT 1")
            assert not await gone()
            silent.set()
            await freed.wait()
            await connection.execute("SELECT 1")

    async with database(database_url, transaction_timeout_sec=1.0) as opened:
        if await pool.fetchval("SELECT current_setting('server_version_num')::integer < 170000"):
            pytest.skip("transaction_timeout came with Postgres 17")
        client = asyncio.create_task(fall_silent(opened))
        await silent.wait()
        await until(gone)
        freed.set()
        with pytest.raises(DependencyDown):
            await client


async def test_errors_are_counted_by_kind(database_url: str, pool: asyncpg.Pool) -> None:
    async with database(database_url, statement_timeout_ms=1000, lock_timeout_ms=50) as opened:
        async with pool.acquire() as other, other.transaction():
            await other.execute("LOCK TABLE items")
            await fails_as("lock", opened, "SELECT * FROM items")
        await fails_as("timeout", opened, "SELECT pg_sleep(60)")
        await fails_as("connection", opened, "SELECT pg_terminate_backend(pg_backend_pid())")
        await fails_as("read_only", opened, "SET transaction_read_only = on; DELETE FROM items")
        await fails_as("statement", opened, "SELECT 1 / 0")


async def fails_as(kind: str, opened: Database, statement: str) -> None:
    before = counted(metrics.DATABASE_ERRORS, kind=kind)
    with pytest.raises((DependencyDown, asyncpg.PostgresError)):
        await ask(opened, statement)
    assert counted(metrics.DATABASE_ERRORS, kind=kind) == before + 1


async def ask(opened: Database, statement: str = "") -> object:
    async with opened.connection() as connection:
        if statement:
            await connection.execute(statement)
        return await connection.fetchval("SELECT 1")


async def answers(opened: Database) -> bool:
    with contextlib.suppress(DependencyDown):
        await opened.open()
        return await ask(opened) == 1
    return False
