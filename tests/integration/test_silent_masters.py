"""A master of a Redis Cluster that keeps its connections and answers nobody, as one does whose host hangs."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from redis.crc import key_slot

from app.adapters.rate_limit import RateLimiter
from app.core import redis_slots
from tests.support.pipeline import until
from tests.support.redis_clusters import ask, redis_cluster
from tests.support.redis_processes import RedisProcess


@contextmanager
def frozen(process: RedisProcess) -> Iterator[None]:
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


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
