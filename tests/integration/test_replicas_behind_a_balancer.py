"""Reads of a replica whose URL leads to several servers by turns: never back in time, and never too late."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import psycopg
import pytest
from msgspec import structs

from app.adapters import read_replica
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadReplica
from app.core import catching_up, lateness
from app.errors import DependencyDown
from tests.faults.proxy import proxied
from tests.integration.test_read_replica import _OPTIONS, is_used, table
from tests.support.pgbouncer import pgbouncer
from tests.support.pipeline import database, until
from tests.support.postgres_servers import OwnPostgres, primary_and_standby


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OwnPostgres, OwnPostgres]]:
    with primary_and_standby() as pair:
        yield pair


@contextmanager
def paused(primary: OwnPostgres, standby: OwnPostgres) -> Iterator[None]:
    standby.await_replay(primary)
    standby.pause_replay()
    try:
        yield
    finally:
        standby.resume_replay()


@asynccontextmanager
async def reads(
    primary: OwnPostgres, ports: Sequence[int], *, pooled: bool = False, **options: float
) -> AsyncIterator[ReadReplica]:
    """`ports`: those that connections lead to one after the other; all later ones lead to the last."""
    with proxied("127.0.0.1", *ports) as balancer:
        url = primary.url.replace(f":{primary.port}", f":{balancer.port}")
        pooler = pgbouncer(url) if pooled else nullcontext(url)
        way = await asyncio.to_thread(pooler.__enter__)
        try:
            async with database(primary.url) as opened:
                found = Database(way, structs.replace(_OPTIONS, has_sessions=not pooled, min_size=2))
                replica = ReadReplica(opened, found, **{"max_lag_sec": 1000.0, **options})
                yield replica
                await replica.close(1.0)
        finally:
            await asyncio.to_thread(pooler.__exit__, None, None, None)


@pytest.mark.parametrize("pooled", [False, True])
async def test_reads_of_servers_by_turns_never_go_back(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    monkeypatch.setattr(read_replica, "_WAIT_SEC", 0.0)  # the standby does not catch up
    primary, standby = servers
    async with reads(primary, [primary.port, standby.port] * 20, pooled=pooled) as replica:
        await until(lambda: is_used(replica))
        with paused(primary, standby), table(primary, "seen") as asked:

            async def seen() -> bool:
                async with replica.connection() as connection:
                    found: bool = await connection.fetchval(asked)
                    return found

            was_seen, went_back = False, 0
            for _ in range(200):
                found = await asyncio.gather(seen(), seen(), seen())
                went_back += was_seen and not all(found)
                was_seen = was_seen or any(found)
    assert was_seen
    assert not went_back


async def test_read_that_ends_late_takes_back_nothing_that_others_have_shown(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = servers
    position, is_asked, may_end = read_replica._seen, asyncio.Event(), asyncio.Event()

    async def late_position(connection: Any) -> int:
        found = await position(connection)
        if not is_asked.is_set():
            is_asked.set()
            await may_end.wait()
        return found

    async with reads(primary, [primary.port, standby.port]) as replica:
        await until(lambda: is_used(replica))

        async def sees(asked: str) -> bool:
            async with replica.connection() as connection:
                found: bool = await connection.fetchval(asked)
                return found

        async def read_slowly() -> None:
            async with AsyncExitStack() as others:
                while True:
                    late = replica.connection()
                    connection = await late.__aenter__()
                    if await connection.fetchval("SELECT pg_is_in_recovery()"):
                        break
                    others.push_async_exit(late)
            monkeypatch.setattr(read_replica, "_seen", late_position)
            await late.__aexit__(None, None, None)

        with paused(primary, standby):
            slow = asyncio.create_task(read_slowly())
            await is_asked.wait()
            with table(primary, "shown") as asked:
                while not await sees(asked):
                    pass
                may_end.set()
                await slow
                assert await sees(asked)  # by the connection that was given back last


async def test_reads_of_a_server_that_is_too_late_go_to_the_primary(servers: tuple[OwnPostgres, OwnPostgres]) -> None:
    """The pool has connections to a late standby, and the probe one to a server that keeps up."""
    primary, standby = servers
    async with reads(primary, [standby.port] * 4 + [primary.port], max_lag_sec=2.0) as replica:
        with psycopg.connect(primary.url, autocommit=True) as writer:
            writer.execute("CREATE TABLE written AS SELECT 0 AS number")
            await until(lambda: is_used(replica))
            with paused(primary, standby):
                number = 0

                async def is_recent() -> bool:
                    nonlocal number
                    number += 1
                    writer.execute("UPDATE written SET number = %s", [number])
                    assert await is_used(replica)
                    async with replica.connection() as connection:
                        return await connection.fetchval("SELECT number FROM written") == number

                await until(is_recent)
            writer.execute("DROP TABLE written")


async def read_ahead(replica: ReadReplica, primary: OwnPostgres, standby: OwnPostgres) -> None:
    """A read shows what the standby lacks. The next one gets the connection to that: the one given back last."""
    begun = {}
    for read in (replica.connection(), replica.connection()):
        connection = await read.__aenter__()
        begun[await connection.fetchval("SELECT inet_server_port()")] = read
    for server in (primary, standby):
        await begun[server.port].__aexit__(None, None, None)


async def port(replica: ReadReplica) -> int:
    async with replica.connection() as connection:
        found: int = await connection.fetchval("SELECT inet_server_port()")
        return found


async def test_read_waits_for_a_server_that_is_a_moment_behind(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be of the primary, and show more than any standby has at the next read."""
    monkeypatch.setattr(read_replica, "_WAIT_SEC", 20.0)
    primary, standby = servers
    position, is_asked = read_replica._seen, asyncio.Event()

    async def asked_position(connection: Any) -> int:
        found = await position(connection)
        is_asked.set()
        return found

    async with reads(primary, [primary.port, standby.port]) as replica:
        await until(lambda: is_used(replica))
        with paused(primary, standby), table(primary, "a_moment_ago"):
            await read_ahead(replica, primary, standby)
            monkeypatch.setattr(read_replica, "_seen", asked_position)
            reading = asyncio.create_task(port(replica))
            await is_asked.wait()
            standby.resume_replay()
            assert await reading == standby.port


async def test_standby_that_never_catches_up_with_the_primary_is_another_source(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read of the primary shows more than the standby has by the next one. So what was shown is given up."""
    monkeypatch.setattr(read_replica, "_WAIT_SEC", 0.0)
    monkeypatch.setattr(catching_up, "LONGEST_SEC", 0.0)
    monkeypatch.setattr(lateness, "FIRST_SEC", 100.0)
    primary, standby = servers
    async with reads(primary, [primary.port, standby.port]) as replica:
        await until(lambda: is_used(replica))
        with paused(primary, standby), table(primary, "not_yet"):
            source = replica.source
            await read_ahead(replica, primary, standby)
            assert await port(replica) == primary.port
            with pytest.raises(DependencyDown, match="no read could begin at"):
                await replica.probe()
            await replica.probe()
            assert replica.source > source
            assert await port(replica) == standby.port
            # All lists are loaded again each time, so that the next time is some time away.
            await read_ahead(replica, primary, standby)
            assert await port(replica) == primary.port
            for told in ("no read could begin at", "kept up for 100 s"):
                with pytest.raises(DependencyDown, match=told):
                    await replica.probe()


async def test_read_that_began_before_the_replica_was_there_keeps_no_read_from_it(
    servers: tuple[OwnPostgres, OwnPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the first one of a large catalogue."""
    monkeypatch.setattr(read_replica, "_WAIT_SEC", 0.0)
    primary, standby = servers
    async with reads(primary, [standby.port]) as replica:
        with ExitStack() as late:
            async with replica.connection():
                await until(lambda: is_used(replica))
                late.enter_context(paused(primary, standby))
                late.enter_context(table(primary, "begun"))
            assert await port(replica) == standby.port
