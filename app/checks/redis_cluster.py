"""What `reco doctor` finds of a Redis Cluster: the slots of each master, and whether it takes writes."""

import time
from collections.abc import AsyncIterator
from typing import Final

from redis.exceptions import RedisError

from app.adapters.redis_cluster import RedisCluster
from app.adapters.redis_cluster_probe import Probe
from app.checks import findings
from app.checks.findings import Finding
from app.core.redis_slots import shown
from app.core.redis_url import ClusterAddress
from app.errors import describe

_KEY: Final = "reco:doctor:"
_TTL_MS: Final = 10_000
_REMEDY: Final = "check ONLINE_CACHE_REDIS_URL; ONLINE_CACHE_BACKEND=memory runs without Redis meanwhile"


async def examine(address: ClusterAddress, timeout_sec: float, *, key_prefix: str) -> AsyncIterator[Finding]:
    cluster = RedisCluster(address, timeout_sec=timeout_sec)
    probe = Probe(cluster, key_prefix + _KEY, _TTL_MS)
    try:
        await probe.run()  # connects first: requests use open connections
        started = time.perf_counter()
        seen = await probe.run()
        yield Finding("ok", "redis", f"a cluster of {len(seen.slots.served)} masters")
        yield findings.latency("redis", (time.perf_counter() - started) * 1000)
        for master in sorted(seen.servers, key=str):
            yield Finding("ok", "redis", f"{master}: slots {shown(seen.slots.served[master])}, takes writes")
        for fault in seen.faults:
            yield Finding("FAIL", "redis", fault)
    except (RedisError, OSError) as error:
        yield Finding("FAIL", "redis", describe(error), _REMEDY)
    finally:
        await cluster.close()
