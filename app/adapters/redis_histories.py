"""The cache of histories and of own writes in Redis, shared by all processes; it serves only what is known to be as new
as Postgres.

What a probe has learnt is trusted for a second: that this Redis takes writes, and that the cache epoch belongs to this
very server and its data.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from app import metrics
from app.adapters.history_cache import NOTHING_SETTLED, CachedHistories, OwnLog, Settled, Versioned
from app.adapters.redis_client import close_idle, close_redis, connection_of, open_redis, packed
from app.adapters.redis_entries import HISTORIES, NO_EPOCH, NO_ERASURE, NO_EVENT, OWN_WRITES, PROBES_TTL_MS
from app.adapters.redis_identity import Server, run_id_of, server_of
from app.adapters.redis_scripts import ADD_RECORDS, COUNT_PROBE, WRITE_NEWER
from app.core import cache_entry, own_writes
from app.core.breaker import Breaker
from app.errors import DependencyDown, describe

_PROBE: Final = "reco:history.probe"
_PROBES: Final = "reco:history.probes"
# Of the release before 0.2.0. It reads these after a rollback, so a history that changes is removed there.
_FORMER: Final = "reco:history:"

_CONFIRM_SEC: Final = 1.0
_TRUST_SEC: Final = 1.0


class _Trust(Struct, frozen=True):
    """`until`: seconds of the monotonic clock."""

    epoch: bytes
    server: Server
    until: float


class RedisHistoryCache:
    """`probe` has to be called twice a second: without it nothing is read. A breaker skips Redis while it fails.

    `confirm` returns the epoch that belongs to an identified Redis, a new one if that has gone back in time, or raises
    `DependencyDown`.
    """

    def __init__(
        self,
        url: str,
        *,
        key_prefix: str,
        ttl_sec: float,
        timeout_sec: float,
        confirm: Callable[[str, bool], Awaitable[bytes]],
    ) -> None:
        self._key_prefix = key_prefix
        self._ttl_ms = int(ttl_sec * 1000)
        self._confirm = confirm
        self._breaker = Breaker()
        self._trust: _Trust | None = None
        self._probes = 0
        """The last count of probes. A Redis that returns a lower one holds older data, though its ids are the same."""
        self._run_ids: WeakKeyDictionary[AbstractConnection, str] = WeakKeyDictionary()
        self._redis: Redis = open_redis(url, timeout_sec=timeout_sec, on_connect=self._note_server)
        self._write_newer = self._redis.register_script(WRITE_NEWER)
        self._add_records = self._redis.register_script(ADD_RECORDS)

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        trust = self._trust
        if trust is None:
            raise DependencyDown("redis", "not used until it takes a write")
        trusted = time.monotonic() <= trust.until
        keys = [*map(self._key, user_ids), *map(self._own_key, user_ids)]
        values = await self._ask(self._read(keys, trust.server.run_id))
        if values is None:
            return CachedHistories({}, None)
        histories: dict[str, Versioned] = {}
        own: dict[str, OwnLog] = {}
        for user_id, value, log in zip(user_ids, values, values[len(user_ids) :], strict=False):
            if trusted and (entry := cache_entry.decode_history(value, trust.epoch)) is not None:
                histories[user_id] = Versioned(*entry)
            if log is not None and (kept := cache_entry.decode(log, trust.epoch)) is not None:
                own[user_id] = OwnLog(*kept)
        return CachedHistories(histories, trust.epoch if trusted else None, own)

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        keys: list[str] = []
        args: list[str | bytes | int] = [self._ttl_ms]
        for user_id, written in histories.items():
            erased = settled.erased.get(user_id)
            keys += (self._key(user_id), self._own_key(user_id))
            args += (
                cache_entry.encode_history(epoch, written.version, written.history, written.joined),
                _FORMER + user_id,
                settled.counted.get(user_id, b""),
                b"" if erased is None else erased.to_bytes(len(NO_ERASURE), "big"),
            )
        await self._ask(self._write_newer(keys=keys, args=args))
        return True

    async def add_own_writes(self, records: Mapping[str, bytes]) -> Collection[str]:
        trust = self._trust
        if trust is None:
            return records
        args: list[bytes | int] = [self._ttl_ms, trust.epoch + NO_ERASURE, own_writes.MAX_LOG_BYTES, *records.values()]
        await self._ask(self._add_records(keys=list(map(self._own_key, records)), args=args))
        return ()

    async def probe(self) -> None:
        """Writes as the consumer does, identifies the server, and confirms the epoch. Raises `DependencyDown`."""
        started = time.monotonic()
        try:
            server, probes = await self._identify_writable()
        except (RedisError, OSError) as error:
            self._trust = None
            # Others of the pool may lead to a process that ended, or to a master that is none any more.
            await close_idle(self._redis)
            raise self._failed(error) from error
        self._worked()
        went_back = probes <= self._probes
        try:
            async with asyncio.timeout(_CONFIRM_SEC):
                epoch = await self._confirm(str(server), went_back)
        except (DependencyDown, TimeoutError) as error:
            # Without Postgres nothing changes that this server's entries could miss, unless it has lost some.
            known = self._trust is not None and self._trust.server == server and not went_back
            held = self._trust if known else None
            self._trust = held and _Trust(held.epoch, server, started + _TRUST_SEC)
            if isinstance(error, TimeoutError) or self._trust is None:
                raise DependencyDown("redis", "Postgres has not confirmed the cache epoch") from error
        else:
            self._probes = probes
            self._trust = _Trust(epoch, server, started + _TRUST_SEC)

    async def close(self) -> None:
        await close_redis(self._redis)

    def _key(self, user_id: str) -> str:
        return f"{self._key_prefix}{HISTORIES}{user_id}"

    def _own_key(self, user_id: str) -> str:
        return f"{self._key_prefix}{OWN_WRITES}{user_id}"

    async def _read(self, keys: list[str], run_id: str) -> list[bytes | None] | None:
        """None when the connection leads to another server than the one with this run id."""
        async with connection_of(self._redis) as connection:
            if self._run_ids.get(connection) != run_id:
                return None
            await connection.send_packed_command(packed("MGET", *keys))
            values: list[bytes | None] = await connection.read_response()
            return values

    async def _identify_writable(self) -> tuple[Server, int]:
        """The server, and how many probes its data have seen."""
        key = self._key_prefix + _PROBE
        empty = cache_entry.encode(NO_EPOCH, 0, b"")
        commands: list[tuple[str | bytes | int, ...]] = [
            ("EVAL", WRITE_NEWER, 2, key, key, self._ttl_ms, empty, key, NO_EVENT, b""),
            ("EVAL", COUNT_PROBE, 1, self._key_prefix + _PROBES, PROBES_TTL_MS),
            ("INFO", "server"),
            ("INFO", "replication"),
        ]
        async with connection_of(self._redis) as connection:
            await connection.send_packed_command([packed(*command) for command in commands])
            answers = [await connection.read_response(disconnect_on_error=True) for _ in commands]
            return server_of(answers[2], answers[3]), int(answers[1])

    def _note_server(self, connection: Any, info: bytes) -> None:
        self._run_ids[connection] = run_id_of(info)

    async def _ask(self, command: Any) -> Any:
        if not self._breaker.allows(time.monotonic()):
            command.close()
            raise DependencyDown("redis", "passed over after failures in a row")
        try:
            answer = await command
        except (RedisError, OSError) as error:
            raise self._failed(error) from error
        self._worked()
        return answer

    def _failed(self, error: Exception) -> DependencyDown:
        self._breaker.failed(time.monotonic())
        metrics.CACHE_BREAKER_OPEN.set(self._breaker.is_open)
        return DependencyDown("redis", describe(error))

    def _worked(self) -> None:
        self._breaker.succeeded()
        metrics.CACHE_BREAKER_OPEN.set(0)
