"""Connections to Redis that were closed at the other end while nobody used them: the next calls notice nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.adapters import cache_epoch
from app.adapters.history_cache import HistoryCache, Versioned
from app.adapters.postgres import Database
from app.adapters.redis_client import open_redis
from tests.faults.proxy import proxied_url
from tests.integration.test_redis_slot_histories import caching as caching_in_cluster
from tests.support.caching import caching
from tests.support.pipeline import until
from tests.support.redis_clusters import redis_cluster
from tests.support.redis_processes import redis_process

USERS = {f"user-{number}": Versioned(5, b"five") for number in range(60)}


def idle(clients: Sequence[Any]) -> list[Any]:
    return [connection for client in clients for connection in client.connection_pool._available_connections]


async def told_of_their_end(connections: Sequence[Any]) -> None:
    async def told() -> bool:
        return all(one._reader.at_eof() or one._reader.exception() is not None for one in connections)

    await until(told)


async def check_that_closed_connections_cost_nothing(
    opened: Database, cache: HistoryCache, clients: Sequence[Any], close: Callable[[], object]
) -> None:
    async def all_at_once() -> tuple[bool, set[str], Any]:
        written, found, left = await asyncio.gather(
            cache_epoch.write_through(opened, cache, USERS),
            cache.get_many(list(USERS)),
            cache.add_own_writes(dict.fromkeys(USERS, b"record")),
        )
        return written, set(found.histories), list(left)

    async def epochs() -> list[Any]:
        async with opened.connection() as connection:
            return [
                await connection.fetch("SELECT epoch FROM cache_epoch"),
                await connection.fetch("SELECT epoch FROM cache_slot_epochs ORDER BY slot_group"),
            ]

    await all_at_once()
    before = await epochs()
    connections = idle(clients)
    assert len(connections) >= 2 * len(clients)
    await asyncio.to_thread(close)
    await told_of_their_end(connections)
    assert await all_at_once() == (True, set(USERS), [])
    assert await epochs() == before


@pytest.mark.parametrize("reset", [False, True])
async def test_idle_connections_that_a_server_or_a_balancer_closed_cost_nothing(opened: Database, reset: bool) -> None:
    with redis_process() as server, proxied_url(f"redis://127.0.0.1:{server.port}/0") as (balancer, url):
        async with caching(opened, url) as cache:
            await cache.probe()

            def close() -> None:
                if reset:
                    balancer.reset()
                    return
                with server.client() as client:
                    client.client_kill_filter(_type="normal", skipme=True)

            await check_that_closed_connections_cost_nothing(opened, cache, [cache._redis], close)


async def test_idle_connections_that_the_masters_of_a_cluster_closed_cost_nothing(opened: Database) -> None:
    with redis_cluster() as cluster:
        async with caching_in_cluster(opened, cluster) as cache:

            def close() -> None:
                for node in cluster.masters:
                    with node.client() as client:
                        client.client_kill_filter(_type="normal", skipme=True)

            clients = list(cache._cluster._clients.values())
            await check_that_closed_connections_cost_nothing(opened, cache, clients, close)


async def test_clients_of_sentinels_and_of_their_master_look_whether_a_connection_is_open() -> None:
    client = open_redis("redis+sentinel://a:26379,b/service/0", timeout_sec=2.0)
    pool: Any = client.connection_pool
    pools = [pool, *(sentinel.connection_pool for sentinel in pool.sentinel_manager.sentinels)]
    assert not any(one.maint_notifications_enabled() for one in pools)
