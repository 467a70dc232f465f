"""The cache of histories against a real Redis Cluster whose masters fail, come back, and hand slots to each other."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import pytest
from redis.crc import key_slot

from app.adapters import cache_epoch, redis_slot_histories
from app.adapters.history_cache import CachedHistories, Settled, SlotsNotWritten, Versioned
from app.adapters.postgres import Database
from app.adapters.rate_limit import RateLimiter
from app.adapters.redis_cluster import RedisCluster
from app.adapters.redis_slot_histories import SlotHistoryCache
from app.core import redis_slots
from app.core.redis_url import cluster_of
from app.errors import DependencyDown
from tests.integration.test_shared_own_writes import own_write
from tests.support.pipeline import counted
from tests.support.redis_clusters import RedisClusterProcesses, ask, redis_cluster
from tests.support.redis_processes import RedisProcess

USERS = {f"user-{number}": Versioned(5, b"five") for number in range(60)}
NEWER = {user_id: Versioned(6, b"six") for user_id in USERS}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisClusterProcesses]:
    with redis_cluster("appendonly yes", "cluster-require-full-coverage no") as processes:
        yield processes


@asynccontextmanager
async def caching(
    opened: Database, cluster: RedisClusterProcesses, timeout_sec: float = 2.0
) -> AsyncIterator[SlotHistoryCache]:
    """A cache that has been probed."""

    async def confirm(servers: Mapping[int, str], went_back: Collection[int]) -> Mapping[int, bytes]:
        async with opened.connection() as connection:
            return await cache_epoch.confirm_slots(connection, servers, went_back)

    address = cluster_of(cluster.url())
    assert address is not None
    cache = SlotHistoryCache(address, key_prefix="", ttl_sec=60.0, timeout_sec=timeout_sec, confirm=confirm)
    try:
        await cache.probe()
        yield cache
    finally:
        await cache.close()


async def held(cache: SlotHistoryCache) -> dict[str, Versioned]:
    await cache.probe()
    return (await cache.get_many(list(USERS))).histories


def keys_of(node: RedisProcess) -> dict[str, bytes]:
    """The keys of the users' histories at this node, by user."""
    with node.client() as client:
        return {key.decode().partition("}")[2]: key for key in client.scan_iter("reco:history.v3:*")}


def affected_by(cluster: RedisClusterProcesses, master: RedisProcess) -> set[str]:
    """The users of its slot groups: its own, and those of another master whose slots share a group with its slots."""
    slots = cluster.map()
    groups = next(slots.groups_of(served) for served in slots.served if served.port == master.port)
    keys = {user_id: key for node in cluster.masters for user_id, key in keys_of(node).items() if user_id in USERS}
    return {user_id for user_id, key in keys.items() if redis_slots.group_of(key_slot(key)) in groups}


async def test_histories_and_own_writes_are_on_all_masters(opened: Database, cluster: RedisClusterProcesses) -> None:
    async with caching(opened, cluster) as cache:
        assert await cache_epoch.write_through(opened, cache, USERS)
        assert await held(cache) == USERS
        assert all(len(keys_of(master)) >= 10 for master in cluster.masters)
        key, first = own_write(1)
        _, second = own_write(2)
        assert not await cache.add_own_writes(dict.fromkeys(USERS, first + second))
        logs = (await cache.get_many(list(USERS))).own
        assert {log.records for log in logs.values()} == {first + second}
        settled = Settled(counted=dict.fromkeys(USERS, key), erased={"user-0": 7})
        await cache_epoch.write_through(opened, cache, NEWER, settled=settled)
        logs = (await cache.get_many(list(USERS))).own
        assert logs.pop("user-0").erasures == 7
        assert {log.records for log in logs.values()} == {second}
        assert await held(cache) == NEWER
        await cache_epoch.write_through(opened, cache, USERS)
        assert await held(cache) == NEWER


@pytest.mark.slow
async def test_ids_with_braces_have_both_keys_in_one_slot(opened: Database, cluster: RedisClusterProcesses) -> None:
    awkward = {user_id: Versioned(1, b"one") for user_id in ("}", "{}", "a{b}c", "{", "ü{")}
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, awkward)
        assert (await cache.get_many(list(awkward))).histories == awkward


async def test_restored_master_costs_its_own_users_alone(opened: Database, cluster: RedisClusterProcesses) -> None:
    """Its append-only file is what it was; that nothing is missing in it cannot be known."""
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)
        lost = cluster.masters[1]
        its = affected_by(cluster, lost)
        lost.kill()
        with pytest.raises(DependencyDown, match=f"127.0.0.1:{lost.port}, master of the slots 5461-10921"):
            await cache.probe()
        others = await cache.get_many(list(USERS))
        assert others.histories.keys() == USERS.keys() - its
        written = counted(cache_epoch.metrics.CACHE_EPOCHS, reason="write")
        assert not await cache_epoch.write_through(opened, cache, NEWER)
        assert counted(cache_epoch.metrics.CACHE_EPOCHS, reason="write") == written + 1
        assert await cache_epoch.write_through(opened, cache, NEWER)  # nobody reads those of a master that is away
        left = await cache.add_own_writes(dict.fromkeys(USERS, b"record"))
        assert set(left) == its
        lost.restart()
        await asyncio.to_thread(cluster.await_state)
        assert keys_of(lost).keys() & its
        assert await held(cache) == {user_id: NEWER[user_id] for user_id in USERS.keys() - its}
        assert await cache_epoch.write_through(opened, cache, NEWER)
        assert await held(cache) == NEWER


async def test_old_data_in_a_running_master_are_noticed(opened: Database, cluster: RedisClusterProcesses) -> None:
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)
        emptied = cluster.masters[0]
        its = affected_by(cluster, emptied)
        with emptied.client() as client:
            copies = {key: client.dump(key) for key in client.scan_iter("*")}
        await cache_epoch.write_through(opened, cache, NEWER)
        await cache.probe()
        with emptied.client() as client:
            for key, copy in copies.items():
                client.restore(key, 60_000, copy, replace=True)
        assert await held(cache) == {user_id: NEWER[user_id] for user_id in USERS.keys() - its}


async def test_master_that_refuses_writes_is_not_read(opened: Database, cluster: RedisClusterProcesses) -> None:
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)
        full = cluster.masters[2]
        its = affected_by(cluster, full)
        with full.client() as client:
            client.config_set("maxmemory", 1)
            try:
                assert not await cache_epoch.write_through(opened, cache, NEWER)
                with pytest.raises(DependencyDown, match="OOM"):
                    await cache.probe()
                assert (await cache.get_many(list(USERS))).histories.keys() == USERS.keys() - its
            finally:
                client.config_set("maxmemory", 0)
        assert (await held(cache)).keys() == USERS.keys() - its


async def test_moved_slot_is_read_and_written_where_it_went(opened: Database, cluster: RedisClusterProcesses) -> None:
    """And while it moves, with a user's keys at either node: what cannot be written there counts as missing."""
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)
        source, target = cluster.masters[0], cluster.masters[1]
        user_id, key = next(item for item in keys_of(source).items() if item[0] in USERS)
        slot = key_slot(key)
        ask(target, f"CLUSTER SETSLOT {slot} IMPORTING {cluster.ids[source.port]}")
        ask(source, f"CLUSTER SETSLOT {slot} MIGRATING {cluster.ids[target.port]}")
        with source.client() as client:
            client.migrate("127.0.0.1", target.port, [key], 0, 5000)
        newer = {user_id: Versioned(6, b"six")}
        assert not await cache_epoch.write_through(opened, cache, newer)
        assert user_id not in await held(cache)
        await asyncio.to_thread(cluster.move, slot, target)
        assert user_id not in await held(cache)
        assert await cache_epoch.write_through(opened, cache, newer)
        assert (await held(cache))[user_id] == newer[user_id]
        assert user_id in keys_of(target)
        await asyncio.to_thread(cluster.move, slot, source)
        assert (await held(cache)).get(user_id, newer[user_id]) == newer[user_id]


async def test_process_with_another_map_neither_reads_nor_keeps_what_it_may_not_know(
    opened: Database, cluster: RedisClusterProcesses
) -> None:
    async with caching(opened, cluster) as behind, caching(opened, cluster) as ahead:
        user_id, key = next(iter(keys_of(cluster.masters[0]).items()))
        ann = {user_id: Versioned(5, b"five")}
        await asyncio.to_thread(cluster.move, key_slot(key), cluster.masters[2])
        await ahead.probe()
        assert await cache_epoch.write_through(opened, ahead, ann)
        assert not await cache_epoch.write_through(opened, behind, {user_id: Versioned(6, b"six")})
        await ahead.probe()
        assert (await ahead.get_many([user_id])).histories == {}
        await asyncio.to_thread(cluster.move, key_slot(key), cluster.masters[0])


async def test_process_that_has_not_probed_since_another_made_an_epoch_writes_with_it(
    opened: Database, pool: "asyncpg.Pool", cluster: RedisClusterProcesses
) -> None:
    """As consumers do between two probes: otherwise each would end what the other has just made."""
    async with caching(opened, cluster) as one, caching(opened, cluster) as two:
        assert await cache_epoch.write_through(opened, two, USERS)
        async with opened.connection() as connection:
            await cache_epoch.forget_slots(connection, range(redis_slots.GROUPS))
        await one.probe()
        made = await pool.fetch("SELECT * FROM cache_slot_epochs ORDER BY slot_group")
        assert len(made) == redis_slots.GROUPS
        assert await cache_epoch.write_through(opened, two, NEWER)
        assert await pool.fetch("SELECT * FROM cache_slot_epochs ORDER BY slot_group") == made
        assert (await one.get_many(list(USERS))).histories == NEWER
        assert (await two.get_many(list(USERS))).histories == NEWER


async def test_history_read_before_a_new_epoch_is_not_added_to_it(
    opened: Database, cluster: RedisClusterProcesses
) -> None:
    """The reader was slow, and its process has seen the new epoch meanwhile."""
    async with caching(opened, cluster) as cache:
        found = await cache.get_many(list(USERS))
        assert found.epoch is not None
        async with opened.connection() as connection:
            await cache_epoch.forget_slots(connection, range(redis_slots.GROUPS))
        await cache.probe()
        with pytest.raises(SlotsNotWritten):
            await cache.put_many(USERS, found.epoch)
        assert (await cache.get_many(list(USERS))).histories == {}


async def test_postgres_away_leaves_the_same_servers_readable(
    opened: Database, cluster: RedisClusterProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)

        async def away(*_: object, **_named: object) -> None:
            raise DependencyDown("postgres", "away")

        with monkeypatch.context() as patch:
            patch.setattr(cache_epoch, "confirm", away)
            assert await held(cache) == USERS
        monkeypatch.setattr(redis_slot_histories, "_TRUST_SEC", -1.0)
        await cache.probe()
        assert await cache.get_many(list(USERS)) == CachedHistories({}, None)


async def test_change_between_a_cluster_and_one_server_makes_new_epochs(
    opened: Database, pool: "asyncpg.Pool", cluster: RedisClusterProcesses
) -> None:
    async with caching(opened, cluster) as cache:
        await cache_epoch.write_through(opened, cache, USERS)
        async with opened.connection() as connection:
            await cache_epoch.confirm(connection, "one server", went_back=False)
        row = await pool.fetchval(
            "SELECT count(*) FROM cache_slot_epochs WHERE cache_epoch = (SELECT epoch FROM cache_epoch)"
        )
        assert row == 0
        assert await held(cache) == {}


async def test_processes_share_a_limit_in_a_cluster_whose_slot_moved(cluster: RedisClusterProcesses) -> None:
    def limiter() -> RateLimiter:
        return RateLimiter(limit=10, window_sec=600.0, redis_url=cluster.url(), key_prefix="", timeout_sec=2.0)

    small = [limiter(), limiter()]
    slot = key_slot(b"reco:rate:shop")
    decisions = [(await small[n % 2].take("shop")).allowed for n in range(6)]
    source = cluster.owner(slot)
    await asyncio.to_thread(cluster.move, slot, next(other for other in cluster.masters if other is not source))
    decisions += [(await small[n % 2].take("shop")).allowed for n in range(20)]
    await asyncio.to_thread(cluster.move, slot, source)
    assert sum(decisions) == 10
    for one in small:
        await one.close()


async def test_nodes_that_leave_together_are_forgotten_by_all_who_read_the_map(cluster: RedisClusterProcesses) -> None:
    address = cluster_of(cluster.url())
    assert address is not None
    client = RedisCluster(address, timeout_sec=2.0)
    # The map has other names for these.
    for node in cluster.masters:
        assert await client.pipeline(("localhost", node.port), [("PING",)]) == [b"PONG"]
    await asyncio.gather(*(client.refresh() for _ in range(4)))
    assert not [host for host, _ in client._clients if host == "localhost"]
    await client.close()


def test_groups_are_those_of_the_migration() -> None:
    assert redis_slots.group_of(redis_slots.SLOTS - 1) == redis_slots.GROUPS - 1 == 63
