"""Own writes in Redis: gone with the history that counts them and with their user, bounded, and of one epoch."""

import asyncpg
import pytest
import redis

from app.adapters import cache_epoch
from app.adapters.history_cache import OwnLog, Settled, Versioned
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache
from app.core import own_writes
from app.core.history import Entry
from app.core.own_writes import OwnWrite
from app.devstack import Stack
from app.errors import DependencyDown
from tests.support.caching import caching
from tests.support.redis_servers import client, own_redis

ANN = {"ann": Versioned(5, b"five")}


async def own_of(cache: RedisHistoryCache) -> OwnLog | None:
    await cache.probe()
    return (await cache.get_many(["ann"])).own.get("ann")


def own_write(number: int, *, erasures: int = 0) -> tuple[bytes, bytes]:
    """The key of an event, and its record."""
    key = own_writes.key_of(f"event-{number}")
    return key, own_writes.encode(OwnWrite(key, erasures, Entry(f"film-{number}", number, 0, 0.3)))


async def test_own_writes_go_with_the_history_that_counts_them(opened: Database, redis_url: str) -> None:
    (first, one), (second, two) = own_write(1), own_write(2)
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        await cache.add_own_writes({"ann": one})
        await cache.add_own_writes({"ann": two})
        assert await own_of(cache) == OwnLog(0, one + two)
        await cache_epoch.write_through(opened, cache, ANN, settled=Settled(counted={"ann": first}))
        assert await own_of(cache) == OwnLog(0, two)
        await cache_epoch.write_through(opened, cache, ANN, settled=Settled(counted={"ann": first + second}))
        assert await own_of(cache) is None


async def test_own_writes_of_before_an_erasure_are_gone_even_when_they_come_late(
    opened: Database, redis_url: str
) -> None:
    (_, before), (key, after) = own_write(1, erasures=6), own_write(2, erasures=7)
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        await cache.add_own_writes({"ann": before + after})
        await cache_epoch.write_through(opened, cache, ANN, settled=Settled(erased={"ann": 7}))
        await cache.add_own_writes({"ann": before})
        log = await own_of(cache)
        assert log is not None
        assert [write.key for write in own_writes.decode(log.records, erasures=log.erasures)] == [key]
        # The number stays when all are counted, for what comes later still.
        await cache_epoch.write_through(opened, cache, ANN, settled=Settled(counted={"ann": key}))
        assert await own_of(cache) == OwnLog(7, b"")


async def test_own_writes_of_one_user_are_bounded_and_the_oldest_go_first(opened: Database, redis_url: str) -> None:
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        for number in range(0, 400, 40):
            await cache.add_own_writes({"ann": b"".join(own_write(n)[1] for n in range(number, number + 40))})
        log = await own_of(cache)
        assert log is not None
        kept = [write.entry.at_ms for write in own_writes.decode(log.records)]
        assert kept == list(range(400 - len(kept), 400))
        assert own_writes.MAX_LOG_BYTES - 100 < len(log.records) <= own_writes.MAX_LOG_BYTES


async def test_own_writes_of_another_epoch_or_over_a_key_of_another_type_do_not_count(
    opened: Database, pool: asyncpg.Pool, redis_url: str
) -> None:
    _, record = own_write(1)
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        await cache.add_own_writes({"ann": record})
        await pool.execute("UPDATE cache_epoch SET redis = 'another'")
        assert await own_of(cache) is None
        with redis.Redis.from_url(redis_url) as other:
            other.delete("reco:own.v1:ann")
            other.hset("reco:own.v1:ann", "field", "value")
        await cache_epoch.write_through(opened, cache, ANN, settled=Settled(counted={"ann": bytes(8)}))
        await cache.add_own_writes({"ann": record})
        assert await own_of(cache) == OwnLog(0, record)


async def test_user_without_the_command_get_is_told_and_loses_no_own_writes(opened: Database, stack: Stack) -> None:
    with own_redis(stack) as own:
        async with caching(opened, own.redis_url) as cache:
            await cache.probe()
            assert not await cache.add_own_writes({"ann": b"first"})
            with client(own) as raw:
                raw.execute_command("ACL SETUSER default -get")
                with pytest.raises(DependencyDown):
                    await cache.add_own_writes({"ann": b"second"})
                with pytest.raises(DependencyDown, match="run this command"):
                    await cache.probe()
                raw.execute_command("ACL SETUSER default +@all")
                assert raw.get("reco:own.v1:ann").endswith(b"first")
