"""One probe of a Redis Cluster: the map of its slots, and each master's identity after a write that it took."""

import asyncio
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError, TryAgainError

from app.adapters.redis_cluster import RedisCluster, place_of
from app.adapters.redis_entries import NO_EPOCH, NO_EVENT, PROBES_TTL_MS
from app.adapters.redis_identity import Server, server_of
from app.adapters.redis_scripts import COUNT_PROBE, SETTLE_OWN_WRITES, WRITE_HISTORY
from app.core import cache_entry
from app.core.redis_slots import Master, SlotMap, shown
from app.errors import describe

_PROBE: Final = "reco:history.probe:"
_PROBES: Final = "reco:history.probes:"
_SILENT_SEC: Final = 0.2
"""So long a probe waits for a master that did not answer when it was last asked. Two probes and the half second between
them take less than the second for which one is trusted, so the other masters stay in use.
"""
_TRIES: Final = 3
_TAGS: Final = 200_000
"""With so many, each slot has one."""
_START: Final = "start it, or let a replica take over"
_FIX: Final = "assign them with redis-cli --cluster fix"
_FULL_COVERAGE: Final = (
    "the other masters refuse their slots as well until then, unless cluster-require-full-coverage is no on all nodes"
)


class Seen(Struct, frozen=True):
    """`servers`: of the masters that took a write; `counts`: how many probes the data of each key have seen. `faults`:
    for operators. `went_back`: masters that hold older data than at the last probe, though they are the same servers.
    """

    slots: SlotMap
    servers: Mapping[Master, Server]
    counts: Mapping[str, int]
    went_back: Collection[Master]
    faults: Sequence[str]


class Probe:
    """`run` looks, and `confirmed` remembers the counts of what it saw."""

    def __init__(self, cluster: RedisCluster, key_prefix: str, ttl_ms: int) -> None:
        self._cluster = cluster
        self._key_prefix = key_prefix
        self._ttl_ms = ttl_ms
        self._counts: dict[str, int] = {}
        self._tags: dict[Master, int] = {}
        self._failed = False

    async def run(self) -> Seen:
        """Raises `RedisError` when no node says which master serves which slots, or no master takes a write."""
        slots = await self._cluster.refresh(elsewhere=self._failed)
        servers: dict[Master, Server] = {}
        counts: dict[str, int] = {}
        faults: list[str] = []
        went_back = set()
        if missing := slots.missing():
            faults.append(f"no master serves the slots {shown(missing)}: {_FIX}")
        self._tags = {master: tag for master, tag in self._tags.items() if master in slots.served}
        found = await asyncio.gather(*(self._identify_in_time(slots, master) for master in slots.served))
        for master, result in zip(slots.served, found, strict=True):
            if isinstance(result, Exception):
                await self._cluster.forget_idle(place_of(master))
                serves = f"{master}, master of the slots {shown(slots.served[master])}"
                remedy = _FULL_COVERAGE if isinstance(result, ClusterDownError) else _START
                faults.append(f"{serves}: {describe(result)}: {remedy}")
                continue
            servers[master], key, counts[key] = result
            if counts[key] <= self._counts.get(key, 0):
                went_back.add(master)
        self._failed = bool(faults)
        if not servers:
            raise RedisError("; ".join(faults))
        return Seen(slots, servers, counts, went_back, faults)

    def confirmed(self, seen: Seen) -> None:
        """The epochs follow what was seen. A master that is away may come back, so its count is kept meanwhile."""
        self._counts = {**(self._counts if seen.faults else {}), **seen.counts}

    async def _identify_in_time(self, slots: SlotMap, master: Master) -> tuple[Server, str, int] | Exception:
        try:
            async with asyncio.timeout(_SILENT_SEC if self._cluster.is_silent(place_of(master)) else None):
                return await self._identify(slots, master)
        except TimeoutError:
            return RedisError(f"no answer in {_SILENT_SEC:g} s")

    async def _identify(self, slots: SlotMap, master: Master) -> tuple[Server, str, int] | Exception:
        """The server, the key of its count, and the count. A slot that moves is passed over for another one."""
        tried: Exception = RedisError("the map names no slot of it")
        for tag in itertools.islice(self._tags_of(slots, master), _TRIES):
            self._tags[master] = tag
            key = f"{self._key_prefix}{_PROBE}{{{tag}}}"
            counter = f"{self._key_prefix}{_PROBES}{{{tag}}}"
            empty = cache_entry.encode(NO_EPOCH, 0, b"")
            try:
                answers: list[Any] = await self._cluster.pipeline(
                    place_of(master),
                    [
                        ("EVAL", WRITE_HISTORY, 1, key, self._ttl_ms, empty),
                        ("EVAL", SETTLE_OWN_WRITES, 1, key, self._ttl_ms, NO_EPOCH, NO_EVENT, b""),
                        ("EVAL", COUNT_PROBE, 1, counter, PROBES_TTL_MS),
                        ("INFO", "server"),
                        ("INFO", "replication"),
                    ],
                )
                refused = [answer for answer in answers if isinstance(answer, ResponseError)]
                if not refused:
                    return server_of(answers[3], answers[4]), counter, int(answers[2])
                tried = refused[0]
            except (RedisError, OSError) as error:
                return error
            if not isinstance(tried, AskError | MovedError | TryAgainError):
                return tried
        return tried

    def _tags_of(self, slots: SlotMap, master: Master) -> Iterator[int]:
        """Hash tags of its slots, the last one first."""
        known = [self._tags[master]] if master in self._tags else []
        candidates = itertools.chain(known, range(_TAGS))
        return filter(lambda tag: slots.master_of(key_slot(str(tag).encode())) == master, candidates)
