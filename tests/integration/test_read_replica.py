"""Reads of a replica whose URL leads to several servers: the one that answers, and never back in time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
import pytest

from app.adapters.postgres import Database, PoolOptions
from app.adapters.read_replica import ReadReplica
from app.core.database_url import for_reads
from app.errors import DependencyDown
from tests.faults.proxy import proxied
from tests.support.pipeline import database, until
from tests.support.postgres_servers import OwnPostgres, primary_and_standby

# As the settings have them.
_OPTIONS: Final = PoolOptions(
    min_size=1,
    max_size=4,
    connect_timeout_sec=3.0,
    statement_timeout_ms=5000,
    lock_timeout_ms=1000,
    application_name="test",
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    with primary_and_standby() as pair:
        yield pair


@asynccontextmanager
async def replica_at(places: str, primary: OwnPostgres) -> AsyncIterator[ReadReplica]:
    """`places`: of DATABASE_READ_URL."""
    url = primary.url.replace(f"127.0.0.1:{primary.port}", places)
    async with database(primary.url) as opened:
        replica = ReadReplica(opened, Database(for_reads(url), _OPTIONS), max_lag_sec=1000.0)
        try:
            yield replica
        finally:
            await replica.close(1.0)


async def is_used(replica: ReadReplica) -> bool:
    try:
        await replica.probe()
    except DependencyDown:
        return False
    return True


async def ports(replica: ReadReplica) -> set[int]:
    """The servers of two connections that are open at the same time."""
    async with replica.connection() as one, replica.connection() as other:
        return {await connection.fetchval("SELECT inet_server_port()") for connection in (one, other)}


async def test_standby_after_a_silent_host_is_found(servers: tuple[OwnPostgres, OwnPostgres]) -> None:
    primary, standby = servers
    with proxied("127.0.0.1", standby.port) as silent:
        silent.black_hole()
        async with replica_at(f"127.0.0.1:{silent.port},127.0.0.1:{standby.port}", primary) as replica:
            await until(lambda: is_used(replica))
            assert await ports(replica) == {standby.port}


@pytest.mark.slow
async def test_what_one_read_has_shown_the_next_one_shows_too(servers: tuple[OwnPostgres, OwnPostgres]) -> None:
    """The standby came back while the primary took its place, so the pool has connections to both. Then it is late."""
    primary, standby = servers
    standby.kill()
    async with replica_at(f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}", primary) as replica:
        await until(lambda: is_used(replica))
        standby.start()

        async def both() -> bool:
            return await ports(replica) == {primary.port, standby.port}

        await until(both)
        standby.pause_replay()
        try:
            with psycopg.connect(primary.url, autocommit=True) as connection:
                connection.execute("CREATE TABLE seen (number integer)")
            named = "SELECT to_regclass('seen') IS NOT NULL"
            shown = False
            while not shown:
                async with replica.connection() as first:
                    shown = await first.fetchval(named)
                    async with replica.connection() as second:
                        shown |= await second.fetchval(named)
            async with replica.connection() as first, replica.connection() as second:
                assert await first.fetchval(named)
                assert await second.fetchval(named)
        finally:
            standby.resume_replay()
            with psycopg.connect(primary.url, autocommit=True) as connection:
                connection.execute("DROP TABLE seen")
