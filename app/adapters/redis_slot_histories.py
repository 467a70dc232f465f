"""The cache of histories and of own writes in a Redis Cluster.

Both keys of a user are in one slot. The epoch holds for a slot group as long as the same servers serve its slots, so
that a master that is lost, replaced or restored costs its own users alone. What a probe has learnt is trusted for a
second, as with one server (`redis_histories`).
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary
from zlib import crc32

from msgspec import Struct, structs
from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

from app import metrics
from app.adapters import redis_cluster_probe
from app.adapters.cache_epoch import epoch_of_group, joined
from app.adapters.history_cache import NOTHING_SETTLED, CachedHistories, OwnLog, Settled, SlotsNotWritten, Versioned
from app.adapters.redis_cluster import Command, RedisCluster, place_of
from app.adapters.redis_entries import HISTORIES, NO_ERASURE, OWN_WRITES
from app.adapters.redis_identity import Server, run_id_of
from app.adapters.redis_scripts import ADD_RECORDS, SETTLE_OWN_WRITES, WRITE_HISTORY, sha_of
from app.core import cache_entry, own_writes, redis_slots
from app.core.redis_slots import Master, SlotMap
from app.core.redis_url import ClusterAddress
from app.errors import DependencyDown, describe

_CONFIRM_SEC: Final = 1.0
_TRUST_SEC: Final = 1.0
_Label = TypeVar("_Label")


class _Trust(Struct, frozen=True):
    """`servers` has the masters that took a write. `groups` and `epochs` by slot group: which servers serve it, and its
    epoch. `until`: seconds of the monotonic clock.
    """

    slots: SlotMap
    servers: Mapping[Master, Server]
    groups: Mapping[int, str]
    epochs: Mapping[int, bytes]
    until: float


class SlotHistoryCache:
    """`probe` has to be called twice a second: without it nothing is read or written. A master that fails is passed
    over until the next probe.

    `confirm` takes, by slot group, the servers that serve it, and the groups of which one has gone back in time. It
    returns the epochs that belong to them, or raises `DependencyDown`.
    """

    def __init__(
        self,
        address: ClusterAddress,
        *,
        key_prefix: str,
        ttl_sec: float,
        timeout_sec: float,
        confirm: Callable[[Mapping[int, str], Collection[int]], Awaitable[Mapping[int, bytes]]],
    ) -> None:
        self._key_prefix = key_prefix
        self._ttl_ms = int(ttl_sec * 1000)
        self._confirm = confirm
        self._trust: _Trust | None = None
        self._failing: set[Master] = set()
        self._run_ids: WeakKeyDictionary[AbstractConnection, str] = WeakKeyDictionary()
        self._cluster = RedisCluster(address, timeout_sec=timeout_sec, on_connect=self._note_server)
        self._probe = redis_cluster_probe.Probe(self._cluster, key_prefix, self._ttl_ms)

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        trust = self._trust
        if trust is None:
            raise DependencyDown("redis", "not used until a master takes a write")
        trusted = time.monotonic() <= trust.until
        reads: dict[Master, dict[int, list[str]]] = {}
        for user_id in user_ids:
            slot, _ = self._slot(user_id)
            if redis_slots.group_of(slot) in trust.epochs and (master := self._usable(trust, slot)) is not None:
                reads.setdefault(master, {}).setdefault(slot, []).append(user_id)
        histories: dict[str, Versioned] = {}
        own: dict[str, OwnLog] = {}
        for slot, users, values in await self._read(trust, reads):
            epoch = trust.epochs[redis_slots.group_of(slot)]
            for user_id, value, log in zip(users, values, values[len(users) :], strict=False):
                if trusted and (entry := cache_entry.decode_history(value, epoch)) is not None:
                    histories[user_id] = Versioned(*entry)
                if log is not None and (kept := cache_entry.decode(log, epoch)) is not None:
                    own[user_id] = OwnLog(*kept)
        return CachedHistories(histories, joined(trust.epochs) if trusted else None, own)

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        """Writes only where this process has confirmed the same servers as who made the epoch. Nobody reads a group
        that has none.
        """
        places = {user_id: self._slot(user_id) for user_id in histories}
        trust = self._trust
        if trust is not None:
            trust = await self._caught_up(trust, {redis_slots.group_of(slot) for slot, _ in places.values()}, epoch)
        failed: set[int] = set()
        writes: dict[Master, list[tuple[int, Command]]] = {}
        for user_id, written in histories.items():
            slot, tag = places[user_id]
            group = redis_slots.group_of(slot)
            of_group = epoch_of_group(epoch, group)
            if of_group is None:
                continue
            master = None
            if trust is not None and trust.epochs.get(group) == of_group:
                master = self._usable(trust, slot)
            if master is None:
                failed.add(group)
                continue
            value = cache_entry.encode_history(of_group, written.version, written.history, written.joined)
            commands = writes.setdefault(master, [])
            key = self._key(HISTORIES, tag, user_id)
            commands.append((group, ("EVALSHA", sha_of(WRITE_HISTORY), 1, key, self._ttl_ms, value)))
            erased, counted = settled.erased.get(user_id), settled.counted.get(user_id, b"")
            if erased is not None or counted:
                number = b"" if erased is None else erased.to_bytes(len(NO_ERASURE), "big")
                own = self._key(OWN_WRITES, tag, user_id)
                settle = ("EVALSHA", sha_of(SETTLE_OWN_WRITES), 1, own, self._ttl_ms, of_group, counted, number)
                commands.append((group, settle))
        if trust is not None:
            failed |= await self._write(trust, writes, (WRITE_HISTORY, SETTLE_OWN_WRITES))
        if failed:
            raise SlotsNotWritten(failed)
        return True

    async def add_own_writes(self, records: Mapping[str, bytes]) -> Collection[str]:
        trust = self._trust
        if trust is None:
            return records
        writes: dict[Master, list[tuple[str, Command]]] = {}
        left: set[str] = set()
        for user_id, added in records.items():
            slot, tag = self._slot(user_id)
            epoch = trust.epochs.get(redis_slots.group_of(slot))
            master = self._usable(trust, slot)
            if epoch is None or master is None:
                left.add(user_id)
                continue
            key, empty = self._key(OWN_WRITES, tag, user_id), epoch + NO_ERASURE
            command = ("EVALSHA", sha_of(ADD_RECORDS), 1, key, self._ttl_ms, empty, own_writes.MAX_LOG_BYTES, added)
            writes.setdefault(master, []).append((user_id, command))
        return left | await self._write(trust, writes, (ADD_RECORDS,))

    async def probe(self) -> None:
        """Writes to each master as the consumer does, identifies it, and confirms the epochs. Raises `DependencyDown`
        that names each master that is away and the slots that nobody serves; the others are in use.
        """
        started = time.monotonic()
        try:
            seen = await self._probe.run()
        except (RedisError, OSError) as error:
            self._trust = None
            metrics.CACHE_BREAKER_OPEN.set(1)
            raise DependencyDown("redis", describe(error)) from error
        groups = seen.slots.servers_of_groups({master: str(server) for master, server in seen.servers.items()})
        went_back = {group for master in seen.went_back for group in seen.slots.groups_of(master)}
        unconfirmed: Exception | None = None
        try:
            async with asyncio.timeout(_CONFIRM_SEC):
                epochs = await self._confirm(groups, went_back & groups.keys())
        except (DependencyDown, TimeoutError) as error:
            # Without Postgres nothing changes that the entries of the same servers could miss.
            unconfirmed = error
            held = self._trust
            epochs = {
                group: epoch
                for group, epoch in (held.epochs.items() if held is not None else ())
                if held is not None and held.groups[group] == groups.get(group) and group not in went_back
            }
        else:
            self._probe.confirmed(seen)
        self._failing = set()
        self._trust = _Trust(seen.slots, seen.servers, groups, epochs, started + _TRUST_SEC)
        metrics.CACHE_BREAKER_OPEN.set(bool(seen.faults))
        faults = list(seen.faults)
        if unconfirmed is not None and (isinstance(unconfirmed, TimeoutError) or not epochs):
            faults.append("Postgres has not confirmed the cache epochs")
        if faults:
            raise DependencyDown("redis", "; ".join(faults)) from unconfirmed

    async def close(self) -> None:
        await self._cluster.close()

    async def _caught_up(self, trust: _Trust, groups: Iterable[int], epoch: bytes) -> _Trust:
        """With the epochs that another process has made since the last probe, where it saw the same servers. To fail
        there would end what it has just made, and so on in turn.
        """
        changed = {
            group: trust.groups[group]
            for group in groups
            if group in trust.groups and epoch_of_group(epoch, group) not in (None, trust.epochs.get(group))
        }
        if not changed:
            return trust
        try:
            async with asyncio.timeout(_CONFIRM_SEC):
                found = await self._confirm(changed, ())
        except (DependencyDown, TimeoutError):
            return trust
        caught_up = structs.replace(trust, epochs={**trust.epochs, **found})
        if self._trust is trust:
            self._trust = caught_up
        return caught_up

    def _slot(self, user_id: str) -> tuple[int, str]:
        """The slot of a user's keys, and the hash tag that brings them there. Ids may hold braces of their own."""
        tag = f"{crc32(user_id.encode()):08x}"
        return key_slot(tag.encode()), tag

    def _key(self, kind: str, tag: str, user_id: str) -> str:
        return f"{self._key_prefix}{kind}{{{tag}}}{user_id}"

    def _usable(self, trust: _Trust, slot: int) -> Master | None:
        master = trust.slots.master_of(slot)
        return master if master in trust.servers and master not in self._failing else None

    async def _read(
        self, trust: _Trust, reads: Mapping[Master, Mapping[int, list[str]]]
    ) -> Iterable[tuple[int, list[str], list[bytes | None]]]:
        """By slot: its users, and the values of their histories, then of their own writes. What moved is left out."""

        async def of(master: Master, users: Mapping[int, list[str]]) -> list[tuple[int, list[str], Any]]:
            commands = []
            for user_ids in users.values():
                tags = [self._slot(user_id)[1] for user_id in user_ids]
                keys = [
                    self._key(kind, *at) for kind in (HISTORIES, OWN_WRITES) for at in zip(tags, user_ids, strict=True)
                ]
                commands.append(("MGET", *keys))
            answers = await self._ask(trust, master, commands)
            return [
                (slot, user_ids, answer)
                for (slot, user_ids), answer in zip(users.items(), answers, strict=False)
                if not isinstance(answer, ResponseError)
            ]

        return itertools.chain.from_iterable(await asyncio.gather(*itertools.starmap(of, reads.items())))

    async def _write(
        self, trust: _Trust, writes: Mapping[Master, Sequence[tuple[_Label, Command]]], scripts: Sequence[str]
    ) -> set[_Label]:
        """The labels of what was not written."""

        async def to(master: Master, labelled: Sequence[tuple[_Label, Command]]) -> set[_Label]:
            loaded: list[Command] = [("SCRIPT", "LOAD", script) for script in scripts]
            answers = await self._ask(trust, master, [*loaded, *(command for _, command in labelled)])
            if not answers:
                return {label for label, _ in labelled}
            return {
                label
                for (label, _), answer in zip(labelled, answers[len(loaded) :], strict=True)
                if isinstance(answer, ResponseError)
            }

        found = await asyncio.gather(*itertools.starmap(to, writes.items()))
        return set().union(*found)

    async def _ask(self, trust: _Trust, master: Master, commands: Sequence[Command]) -> list[Any]:
        """The answers of the server that the probe has confirmed; none when it does not answer."""
        run_id = trust.servers[master].run_id
        try:
            return await self._cluster.pipeline(
                place_of(master), commands, check=lambda connection: self._run_ids.get(connection) == run_id
            )
        except (RedisError, OSError):
            self._failing.add(master)
            metrics.CACHE_BREAKER_OPEN.set(1)
            return []

    def _note_server(self, connection: Any, info: bytes) -> None:
        self._run_ids[connection] = run_id_of(info)
