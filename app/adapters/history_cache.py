"""The cache of users' histories: versioned, so that a late write never wins. This one is in process memory."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct


class Versioned(Struct, frozen=True):
    """A history's bytes as `user_history` holds them, and the row's version."""

    version: int
    history: bytes


class CachedHistories(Struct, frozen=True):
    """The histories that the cache holds. `epoch` is for adding the others; None: they cannot be added."""

    histories: dict[str, Versioned]
    epoch: bytes | None


class HistoryCache(Protocol):
    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        """The cached histories of these users. Raises `DependencyDown`."""
        ...

    async def put_many(self, histories: Mapping[str, Versioned], epoch: bytes) -> None:
        """Stores each history unless a newer version of the same epoch is cached. Raises `DependencyDown`.

        `epoch`: of `get_many` before the histories were read from Postgres, or read after they were committed.
        """
        ...


class MemoryHistoryCache:
    """In process memory, bounded. Consumers in other processes cannot update it, so entries are short-lived: no entry
    outlives `ttl_sec`, whatever Postgres holds by then.
    """

    def __init__(self, *, ttl_sec: float, max_keys: int) -> None:
        self._ttl_sec = ttl_sec
        self._max_keys = max_keys
        self._entries: dict[str, tuple[float, Versioned]] = {}

    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        now = time.monotonic()
        entries = ((user_id, self._entries.get(user_id)) for user_id in user_ids)
        fresh = {user_id: entry[1] for user_id, entry in entries if entry is not None and entry[0] > now}
        return CachedHistories(fresh, b"")

    async def put_many(self, histories: Mapping[str, Versioned], epoch: bytes) -> None:
        now = time.monotonic()
        for user_id, written in histories.items():
            held = self._entries.pop(user_id, None)
            keep = held is not None and held[0] > now and held[1].version > written.version
            self._entries[user_id] = held if held is not None and keep else (now + self._ttl_sec, written)
        while len(self._entries) > self._max_keys:
            self._entries.pop(next(iter(self._entries)))
