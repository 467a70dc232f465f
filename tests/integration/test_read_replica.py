"""Reads of a replica whose URL leads to several servers: the one that answers, and never back in time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
import pytest
from msgspec import structs

from app.adapters import read_replica
from app.adapters.pool_options import PoolOptions
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadReplica
from app.core import interruptions, lateness
from app.core.database_url import for_reads
from app.errors import Busy, DependencyDown, Interrupted, TooLarge
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
    application_name="reads",
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    with primary_and_standby() as pair:
        yield pair


@asynccontextmanager
async def replica_at(places: str, primary: OwnPostgres, **changes: Any) -> AsyncIterator[ReadReplica]:
    """`places`: of DATABASE_READ_URL. `changes`: of its options."""
    url = primary.url.replace(f"127.0.0.1:{primary.port}", places)
    async with database(primary.url) as opened:
        reads = Database(for_reads(url), structs.replace(_OPTIONS, **changes))
        replica = ReadReplica(opened, reads, max_lag_sec=1000.0)
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


async def test_statement_that_takes_too_long_leaves_the_reads_where_they_are(
    servers: tuple[OwnPostgres, OwnPostgres],
) -> None:
    """One that is too slow for the replica would burden the primary, and all lists would be loaded again."""
    primary, standby = servers
    async with replica_at(f"127.0.0.1:{standby.port}", primary, statement_timeout_ms=1000) as replica:
        await until(lambda: is_used(replica))
        source = replica.source
        with pytest.raises(TooLarge):
            async with replica.connection() as connection:
                await connection.execute("SELECT pg_sleep(60)")
        assert replica.source == source
        assert await ports(replica) == {standby.port}


SLOW_READ: Final = "SELECT count(pg_sleep(n)) FROM replayed"


async def slow_read(replica: ReadReplica) -> None:
    async with replica.connection() as connection:
        await connection.execute(SLOW_READ)


@pytest.mark.parametrize("most", [interruptions.MOST, 1])
async def test_read_that_replay_ends_leaves_the_others_where_they_are_unless_many_are_ended(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The primary removes rows that a read of the standby still sees: Postgres ends that read, and no other."""
    monkeypatch.setattr(interruptions, "MOST", most)
    primary, standby = servers
    with hasty(standby), psycopg.connect(primary.url, autocommit=True) as writer:
        writer.execute("CREATE TABLE replayed AS SELECT n FROM generate_series(1, 1000) AS s (n)")
        async with replica_at(f"127.0.0.1:{standby.port}", primary) as replica:
            await until(lambda: is_used(replica))
            standby.await_replay(primary)
            source = replica.source
            reading = asyncio.create_task(slow_read(replica))
            asked = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
            with psycopg.connect(standby.admin_url, autocommit=True) as looks:
                while looks.execute(asked, [SLOW_READ]).fetchone() != (1,):
                    await asyncio.sleep(0.01)
            writer.execute("DELETE FROM replayed")
            writer.execute("VACUUM replayed")
            with pytest.raises(Interrupted, match="conflict with recovery"):
                await reading
            assert (replica.source == source) == (most > 1)
            assert await ports(replica) == {standby.port if most > 1 else primary.port}
            if most == 1:
                with pytest.raises(DependencyDown, match="hot_standby_feedback"):
                    await replica.probe()
        writer.execute("DROP TABLE replayed")


@contextmanager
def hasty(standby: OwnPostgres) -> Iterator[None]:
    """It ends reads at once that stand in the way of what it replays."""
    with psycopg.connect(standby.admin_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET max_standby_streaming_delay")
            connection.execute("SELECT pg_reload_conf()")


async def test_replica_whose_connections_are_all_in_use_is_not_away(servers: tuple[OwnPostgres, OwnPostgres]) -> None:
    primary, standby = servers
    async with replica_at(f"127.0.0.1:{standby.port}", primary) as replica:
        await until(lambda: is_used(replica))
        async with AsyncExitStack() as reads:
            for _ in range(_OPTIONS.max_size):
                await reads.enter_async_context(replica.connection())
            assert await is_used(replica)


async def test_read_that_finds_all_connections_in_use_leaves_the_others_where_they_are(
    servers: tuple[OwnPostgres, OwnPostgres],
) -> None:
    """The primary is not asked what is too much for the replica."""
    primary, standby = servers
    async with replica_at(f"127.0.0.1:{standby.port}", primary, max_size=2, connect_timeout_sec=1.0) as replica:
        await until(lambda: is_used(replica))
        source = replica.source
        async with replica.connection(), replica.connection():
            with pytest.raises(Busy, match="all 2 connections of the pool are in use: see DB_POOL_MAX_SIZE"):
                async with replica.connection():
                    pass
        assert replica.source == source
        assert await ports(replica) == {standby.port}


async def fail_a_read(replica: ReadReplica) -> None:
    """Its connection ends in the middle, and no other one."""
    with pytest.raises(DependencyDown):
        async with replica.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_replica_that_fails_reads_and_answers_probes_is_left_for_longer_each_time(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of servers loads all lists again."""
    monkeypatch.setattr(lateness, "FIRST_SEC", lateness.LONGEST_SEC)  # longer than the test takes
    primary, standby = servers
    async with replica_at(f"127.0.0.1:{standby.port}", primary) as replica:
        await until(lambda: is_used(replica))
        before = replica.source
        for _ in range(10):
            await fail_a_read(replica)
            await is_used(replica)
        # Away, back at once for the first time, and away again.
        assert replica.source == before + 3
        with pytest.raises(DependencyDown, match=r"reads of the replica failed several times, .* once it has kept"):
            await replica.probe()


async def test_read_that_fails_while_the_primary_is_away_keeps_no_others_from_the_replica(
    servers: tuple[OwnPostgres, OwnPostgres],
) -> None:
    primary, standby = servers
    async with replica_at(f"127.0.0.1:{standby.port}", primary) as replica:
        await until(lambda: is_used(replica))
        primary.kill()
        try:
            with pytest.raises(DependencyDown, match="reads go on at the replica"):
                await replica.probe()
            for _ in range(3):
                await fail_a_read(replica)
                with pytest.raises(DependencyDown, match="reads go on at the replica"):
                    await replica.probe()
                assert await ports(replica) == {standby.port}
        finally:
            primary.start()


@asynccontextmanager
async def late_standby(primary: OwnPostgres, standby: OwnPostgres) -> AsyncIterator[ReadReplica]:
    """The standby came back while the primary took its place, so the pool has connections to both. Then it is late."""
    standby.kill()
    async with replica_at(f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}", primary) as replica:
        await until(lambda: is_used(replica))
        standby.start()

        async def both() -> bool:
            return await ports(replica) == {primary.port, standby.port}

        await until(both)
        standby.pause_replay()
        try:
            yield replica
        finally:
            standby.resume_replay()


@contextmanager
def table(primary: OwnPostgres, name: str) -> Iterator[str]:
    """Makes a table; gives what asks whether it is seen."""
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {name} ()")
        yield f"SELECT to_regclass('{name}') IS NOT NULL"
        connection.execute(f"DROP TABLE {name}")


async def see(replica: ReadReplica, asked: str) -> set[bool]:
    """What two reads at the same time see."""
    async with replica.connection() as first, replica.connection() as second:
        return {await connection.fetchval(asked) for connection in (first, second)}


@pytest.mark.slow
async def test_what_one_read_has_shown_the_next_one_shows_too(servers: tuple[OwnPostgres, OwnPostgres]) -> None:
    primary, standby = servers
    async with late_standby(primary, standby) as replica:
        with table(primary, "seen") as asked:
            while True not in await see(replica, asked):
                pass
            assert await see(replica, asked) == {True}


@pytest.mark.slow
async def test_position_that_is_told_late_takes_nothing_back(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of the primary learns of its position; while the answer is on its way, another read shows more."""
    primary, standby = servers
    told = read_replica._seen
    caught, goes_on = asyncio.Event(), asyncio.Event()

    async def late(connection: Any) -> int:
        position = await told(connection)
        if connection.get_settings().application_name != _OPTIONS.application_name and not caught.is_set():
            caught.set()
            await goes_on.wait()
        return position

    async with late_standby(primary, standby) as replica:
        with table(primary, "first") as first:
            while True not in await see(replica, first):
                pass
            monkeypatch.setattr(read_replica, "_seen", late)
            async with replica.connection():
                slow = asyncio.create_task(see(replica, first))
                await caught.wait()
            standby.resume_replay()
            standby.await_replay(primary)
            standby.pause_replay()
            with table(primary, "second") as second:
                assert True in await see(replica, second)
                goes_on.set()
                await slow
                assert await see(replica, second) == {True}
