"""The cache of histories against real Redis servers that lose, restore and replace their data, and refuse writes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from app import metrics
from app.adapters import cache_epoch, redis_histories
from app.adapters.history_cache import CachedHistories, Versioned
from app.adapters.postgres import Database
from app.adapters.redis_histories import RedisHistoryCache
from app.core.model import MODEL
from app.devstack import Stack
from app.errors import DependencyDown
from app.serving.histories import Histories
from app.serving.own_writes import OwnWrites
from tests.support.caching import caching
from tests.support.pipeline import counted, until
from tests.support.redis_servers import Snapshot, client, is_synchronized, own_redis, promote, replicate

Pool = asyncpg.Pool

ANN = {"ann": Versioned(5, b"five")}


@pytest.fixture
def own(stack: Stack) -> Iterator[Stack]:
    with own_redis(stack) as own:
        yield own


async def epoch_of(pool: Pool) -> bytes:
    return bytes(await pool.fetchval("SELECT epoch FROM cache_epoch"))


async def held(cache: RedisHistoryCache) -> dict[str, Versioned]:
    await cache.probe()
    return (await cache.get_many(["ann"])).histories


async def test_a_cache_that_was_never_probed_is_not_read(opened: Database, redis_url: str) -> None:
    async with caching(opened, redis_url) as cache:
        with pytest.raises(DependencyDown):
            await cache.get_many(["ann"])
        await cache.probe()
        assert (await cache.get_many(["ann"])).histories == {}


async def test_a_probe_of_long_ago_is_not_trusted(
    opened: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with caching(opened, redis_url) as cache:
        await cache_epoch.write_through(opened, cache, ANN)
        monkeypatch.setattr(redis_histories, "_TRUST_SEC", -1.0)
        await cache.probe()
        assert await cache.get_many(["ann"]) == CachedHistories({}, None)


async def test_an_older_version_or_one_without_the_present_epoch_is_not_served(
    opened: Database, pool: Pool, redis_url: str
) -> None:
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        assert await cache_epoch.write_through(opened, cache, ANN)
        assert await held(cache) == ANN
        await cache_epoch.write_through(opened, cache, {"ann": Versioned(4, b"four")})
        assert await held(cache) == ANN
        former = await epoch_of(pool)
        await pool.execute("UPDATE cache_epoch SET redis = 'another'")
        assert await held(cache) == {}
        # Of the new epoch any version counts; of the former one none does.
        await cache_epoch.write_through(opened, cache, {"ann": Versioned(1, b"one")})
        assert await held(cache) == {"ann": Versioned(1, b"one")}
        await cache.put_many({"ann": Versioned(9, b"nine")}, former)
        assert await held(cache) == {}


async def test_a_redis_restarted_from_a_snapshot_is_not_read_before_and_starts_anew_after_a_probe(
    opened: Database, own: Stack, tmp_path: Path
) -> None:
    async with caching(opened, own.redis_url) as cache:
        await cache.probe()
        await cache_epoch.write_through(opened, cache, ANN)
        snapshot = await asyncio.to_thread(Snapshot, own.redis, tmp_path)
        await cache_epoch.write_through(opened, cache, {"ann": Versioned(6, b"six")})
        await asyncio.to_thread(snapshot.restore)
        await asyncio.to_thread(own.redis.start)
        assert await cache.get_many(["ann"]) == CachedHistories({}, None)
        assert await held(cache) == {}


async def test_a_redis_that_was_a_replica_for_a_moment_starts_anew(opened: Database, own: Stack, stack: Stack) -> None:
    """The process goes on, with the data of another: only its replication id tells."""
    with own_redis(stack) as other:
        async with caching(opened, own.redis_url) as cache:
            await asyncio.to_thread(replicate, other, own)
            await until(lambda: asyncio.to_thread(is_synchronized, other))
            await cache.probe()
            await cache_epoch.write_through(opened, cache, ANN)
            assert await held(cache) == ANN

            await asyncio.to_thread(promote, other)
            await asyncio.to_thread(replicate, own, other)
            await until(lambda: asyncio.to_thread(is_synchronized, own))
            await asyncio.to_thread(promote, own)
            assert await held(cache) == {}


async def test_an_old_snapshot_loaded_into_a_running_redis_starts_anew(opened: Database, redis_url: str) -> None:
    """The process and its replication id stay: only the count of probes tells, to each process."""
    async with caching(opened, redis_url) as cache, caching(opened, redis_url) as other:
        with redis.Redis.from_url(redis_url) as raw:
            await cache.probe()
            await cache_epoch.write_through(opened, cache, ANN)
            assert await held(cache) == await held(other) == ANN
            snapshot = {key: raw.dump(key) for key in raw.keys("*")}
            await cache_epoch.write_through(opened, cache, {"ann": Versioned(6, b"six")})
            assert (await held(cache)).keys() == (await held(other)).keys() == {"ann"}
            for key, value in snapshot.items():
                raw.restore(key, 0, value, replace=True)
            assert await held(other) == {}
            assert await held(cache) == {}
            await cache_epoch.write_through(opened, cache, {"ann": Versioned(6, b"six")})
            assert await held(cache) == await held(other) == {"ann": Versioned(6, b"six")}


async def test_a_promoted_replica_is_another_server(opened: Database, own: Stack, stack: Stack) -> None:
    with own_redis(stack) as other:
        async with caching(opened, own.redis_url) as cache, caching(opened, other.redis_url) as of_other:
            await cache.probe()
            await cache_epoch.write_through(opened, cache, ANN)
            await asyncio.to_thread(replicate, other, own)
            await until(lambda: asyncio.to_thread(is_synchronized, other))
            await asyncio.to_thread(promote, other)
            with client(other) as raw:
                assert raw.exists("reco:history.v3:ann")
            assert await held(of_other) == {}


async def test_a_flushed_redis_is_filled_again(opened: Database, own: Stack) -> None:
    async with caching(opened, own.redis_url) as cache:
        await cache.probe()
        await cache_epoch.write_through(opened, cache, ANN)
        with client(own) as raw:
            raw.flushall()
        assert await held(cache) == {}
        assert await cache_epoch.write_through(opened, cache, ANN)
        assert await held(cache) == ANN


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
        ("ACL SETUSER default -eval -evalsha", "ACL SETUSER default +@all"),
    ],
)
async def test_a_redis_that_refuses_writes_is_not_read_and_its_entries_do_not_count_later(
    opened: Database, pool: Pool, own: Stack, refuse: str, allow: str
) -> None:
    written = counted(metrics.CACHE_EPOCHS, reason="write")
    async with caching(opened, own.redis_url) as cache:
        await cache.probe()
        await cache_epoch.write_through(opened, cache, ANN)
        before = await epoch_of(pool)
        with client(own) as raw:
            raw.execute_command(refuse)
            assert not await cache_epoch.write_through(opened, cache, {"ann": Versioned(6, b"six")})
            with pytest.raises(DependencyDown):
                await cache.probe()
            with pytest.raises(DependencyDown):
                await cache.get_many(["ann"])
            raw.execute_command(allow)
        assert await epoch_of(pool) != before
        assert await held(cache) == {}
        assert counted(metrics.CACHE_EPOCHS, reason="write") == written + 1


async def test_a_key_of_a_wrong_type_costs_itself_alone(opened: Database, redis_url: str) -> None:
    bob = {"bob": Versioned(1, b"bob's")}
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        with redis.Redis.from_url(redis_url) as raw:
            raw.lpush("reco:history.v3:ann", "x")
            raw.set("reco:history.v3:bob", "x")
        assert (await cache.get_many(["ann", "bob"])).histories == {}
        assert await cache_epoch.write_through(opened, cache, ANN | bob)
        assert (await cache.get_many(["ann", "bob"])).histories == ANN | bob


async def test_environments_of_other_prefixes_or_other_databases_do_not_read_each_other(
    opened: Database, pool: Pool, redis_url: str
) -> None:
    async with (
        caching(opened, redis_url, key_prefix="a.") as one,
        caching(opened, redis_url, key_prefix="b.") as other,
    ):
        await one.probe()
        await cache_epoch.write_through(opened, one, ANN)
        assert await held(other) == {}
        assert await held(one) == ANN
    # Restored from a backup of the first, so that it holds the same epoch.
    await pool.execute("UPDATE cache_epoch SET postgres = 'another server'")
    async with caching(opened, redis_url, key_prefix="a.") as same_prefix:
        assert await held(same_prefix) == {}


async def test_a_restored_table_is_another_postgres(opened: Database, pool: Pool, redis_url: str) -> None:
    """The versions of its rows begin below those that are cached."""
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        await cache_epoch.write_through(opened, cache, ANN)
        await pool.execute("TRUNCATE user_history")
        assert await held(cache) == {}
        assert await cache_epoch.write_through(opened, cache, {"ann": Versioned(1, b"one")})
        assert await held(cache) == {"ann": Versioned(1, b"one")}


async def test_a_postgres_that_is_away_leaves_the_same_redis_readable(opened: Database, redis_url: str) -> None:
    away = False

    async def confirm(server: str, went_back: bool) -> bytes:
        if away:
            raise DependencyDown("postgres", "away")
        async with opened.connection() as connection:
            return await cache_epoch.confirm(connection, server, went_back=went_back)

    async with caching(opened, redis_url, confirm=confirm) as cache, caching(opened, redis_url, confirm=confirm) as new:
        await cache.probe()
        await cache_epoch.write_through(opened, cache, ANN)
        away = True
        assert await held(cache) == ANN
        with pytest.raises(DependencyDown, match="Postgres has not confirmed"):
            await new.probe()  # up would say that it is read
        with pytest.raises(DependencyDown):
            await new.get_many(["ann"])


async def test_a_history_that_changes_is_removed_where_an_older_release_would_read_it(
    opened: Database, redis_url: str
) -> None:
    async with caching(opened, redis_url) as cache:
        with redis.Redis.from_url(redis_url) as raw:
            raw.set("reco:history:ann", "old")
            await cache_epoch.write_through(opened, cache, ANN)
            assert raw.keys("*:ann") == [b"reco:history.v3:ann"]


async def test_a_history_read_before_a_new_epoch_is_not_added_to_it(
    opened: Database, pool: Pool, redis_url: str
) -> None:
    """A reader that was slow: the epoch, and then the row, change after it has read both."""
    async with caching(opened, redis_url) as cache:
        await cache.probe()
        found = await cache.get_many(["ann"])
        assert found.epoch is not None
        async with opened.connection() as connection:
            await cache_epoch.renew(connection)
        await cache.probe()
        await cache.put_many(ANN, found.epoch)
        assert (await cache.get_many(["ann"])).histories == {}


async def test_a_user_whom_no_cache_knows_is_read_from_postgres_and_added(
    opened: Database, pool: Pool, redis_url: str
) -> None:
    async with caching(opened, redis_url) as cache:
        own = OwnWrites(cache, max_events=100)
        histories = Histories(opened, cache, own, strict_cache=False, cache_timeout_sec=2.0, max_keys=100)
        assert not (await histories.of("ann", None, MODEL)).entries  # not probed yet: neither read nor written
        with redis.Redis.from_url(redis_url) as raw:
            assert raw.keys("*") == []
            await cache.probe()
            assert not (await histories.of("ann", None, MODEL)).entries
            assert raw.keys("*:ann") == [b"reco:history.v3:ann"]
        await histories.close()
