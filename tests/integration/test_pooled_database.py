"""The pool behind PgBouncer in transaction mode, whose queue is not a server that fell silent."""

import contextlib

import pytest

from app.adapters.postgres import Database
from app.errors import Busy, DependencyDown
from tests.faults.proxy import proxied_url
from tests.support.pgbouncer import pgbouncer
from tests.support.pipeline import database, until
from tests.support.postgres_servers import own_postgres


async def test_wait_in_the_queue_of_a_pooler_ends_no_other_connection(database_url: str) -> None:
    with pgbouncer(database_url, default_pool_size="1") as url:
        async with (
            database(url, has_sessions=False, statement_timeout_ms=60_000) as holding,
            database(url, has_sessions=False, statement_timeout_ms=100) as opened,
            opened.connection() as held,
            holding.connection() as only,
        ):
            transaction = only.transaction()
            await transaction.start()
            assert await only.fetchval("SELECT 1") == 1  # the pooler has no other connection now
            with pytest.raises(Busy, match="TimeoutError: no answer in time; a pooler"):
                async with opened.connection() as queued:
                    await queued.fetchval("SELECT 1")
            await transaction.rollback()
            assert await held.fetchval("SELECT 1") == 1
            async with opened.connection() as next_one:
                assert await next_one.fetchval("SELECT 1") == 1


async def test_server_that_falls_silent_behind_a_pooler_is_not_busy(database_url: str) -> None:
    with proxied_url(database_url) as (proxy, through_proxy), pgbouncer(through_proxy) as url:
        async with database(url, has_sessions=False, statement_timeout_ms=100) as opened:

            async def ask() -> None:
                async with opened.connection() as connection, connection.transaction():
                    proxy.black_hole()
                    await connection.fetchval("SELECT 1")

            with pytest.raises(DependencyDown) as silent:
                await ask()
            assert not isinstance(silent.value, Busy)
            proxy.heal()


async def test_another_server_behind_a_pooler_is_noticed() -> None:
    """One that started at another time, as a promoted standby did. No connection of ours ends."""
    with own_postgres({}) as server, pgbouncer(server.url, server_lifetime="1") as url:
        async with database(url, has_sessions=False) as opened:
            await opened.probe()
            async with opened.connection() as connection:
                pid = connection.get_server_pid()
            opened.sequences_checked = True
            sessions = opened.sessions
            for _ in range(5):
                await opened.probe()
            assert opened.sequences_checked
            assert opened.sessions == sessions
            server.stop()
            server.start()
            await until(lambda: answers(opened))
            assert not opened.sequences_checked
            assert opened.sessions > sessions
            async with opened.connection() as connection:
                assert connection.get_server_pid() != pid  # of the pooler: the connection is another one


async def answers(opened: Database) -> bool:
    with contextlib.suppress(DependencyDown):
        await opened.probe()
        return True
    return False
