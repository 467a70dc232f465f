"""A master of a Redis Cluster that keeps its connections and answers nobody, as one does whose host hangs."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis.crc import key_slot

from app.adapters import cache_epoch, redis_slot_histories
from app.adapters.postgres import Database
from app.adapters.rate_limit import RateLimiter
from app.core import redis_slots
from app.errors import DependencyDown
from tests.integration.test_redis_slot_histories import USERS, affected_by, caching
from tests.support.pipeline import until
from tests.support.redis_clusters import ask, redis_cluster
from tests.support.redis_processes import RedisProcess

# Longer than any test waits: who waits for a silent master for so long does not end in time.
LONG_SEC = 120.0


@contextmanager
def frozen(process: RedisProcess) -> Iterator[None]:
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


async def test_silent_master_costs_no_user_of_the_others_the_cache(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though calls may take longer than what a probe has learnt is trusted. The first probe has no time to wait."""
    monkeypatch.setattr(redis_slot_histories, "_TRUST_SEC", LONG_SEC / 2)
    with redis_cluster("cluster-require-full-coverage no") as cluster:
        async with caching(opened, cluster, timeout_sec=LONG_SEC) as cache:
            assert await cache_epoch.write_through(opened, cache, USERS)
            silent = cluster.masters[0]
            others = USERS.keys() - affected_by(cluster, silent)
            with frozen(silent):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await cache.probe()
                for _ in range(3):
                    with pytest.raises(DependencyDown, match=f"127.0.0.1:{silent.port}, master of .*: no answer in"):
                        await cache.probe()
                    assert (await cache.get_many(list(USERS))).histories.keys() == others

            async def back() -> bool:
                try:
                    await cache.probe()
                except DependencyDown:
                    return False
                return True

            await until(back)


async def test_processes_share_a_limit_again_once_a_silent_master_is_replaced() -> None:
    with redis_cluster("cluster-require-full-coverage no", replicated=True) as cluster:

        def limiter() -> RateLimiter:
            return RateLimiter(limit=10, window_sec=600.0, redis_url=cluster.url(), key_prefix="", timeout_sec=0.5)

        pair = [limiter(), limiter()]
        slot = key_slot(b"shop")
        silent = cluster.owner(slot)
        replica = cluster.replicas[cluster.masters.index(silent)]
        callers = (f"{{shop}}{number}" for number in itertools.count())

        async def share_a_limit() -> bool:
            caller = next(callers)
            decisions = [await pair[number % 2].take(caller) for number in range(40)]
            return sum(decision.allowed for decision in decisions) == 10

        async def replaced() -> bool:
            slots = redis_slots.parse(await asyncio.to_thread(ask, replica, "CLUSTER SLOTS"), "127.0.0.1")
            master = slots.master_of(slot)
            return master is not None and master.port == replica.port

        await until(share_a_limit)
        with frozen(silent):
            await until(replaced, 30.0)
            await until(share_a_limit, 30.0)
        for one in pair:
            await one.close()
