"""The pool behind PgBouncer in transaction mode, whose queue is not a server that fell silent."""

import pytest

from app.errors import DependencyDown
from tests.support.pgbouncer import pgbouncer
from tests.support.pipeline import database


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
            with pytest.raises(DependencyDown, match="TimeoutError"):
                async with opened.connection() as queued:
                    await queued.fetchval("SELECT 1")
            await transaction.rollback()
            assert await held.fetchval("SELECT 1") == 1
            async with opened.connection() as next_one:
                assert await next_one.fetchval("SELECT 1") == 1
