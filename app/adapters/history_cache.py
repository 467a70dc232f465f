"""The cache of users' histories: versioned, so that a late write never wins; and of the own writes that they may not
count yet. This one is in process memory.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct, field

from app.errors import DependencyDown


class Versioned(Struct, frozen=True):
    """A history's bytes as `user_history` holds them, and the row's version. `joined`: the anonymous ids whose
    histories are joined into this one. A change of theirs is another version.
    """

    version: int
    history: bytes
    joined: tuple[str, ...] = ()


class OwnLog(Struct, frozen=True):
    """A user's own writes as `app.core.own_writes` encodes them, and the number of the user's last erasure (0: none):
    what was stored before it does not count.
    """

    erasures: int
    records: bytes


class CachedHistories(Struct, frozen=True):
    """The histories that the cache holds. `epoch` is for adding the others; None: they cannot be added. `own`: what
    the cache holds of the own writes of users, of those without a history as well. Where it gives no history, Postgres
    has to be asked for the user's last erasure, too.
    """

    histories: dict[str, Versioned]
    epoch: bytes | None
    own: dict[str, OwnLog] = field(default_factory=dict)


class Settled(Struct, frozen=True):
    """The own writes that are gone with a write of histories, by user: `counted` are the keys of events that these
    histories count, `erased` the number of the erasure that they follow.
    """

    counted: Mapping[str, bytes] = {}
    erased: Mapping[str, int] = {}


NOTHING_SETTLED: Final = Settled()


class SlotsNotWritten(DependencyDown):
    """Of a cluster, these slot groups did not take their histories."""

    def __init__(self, groups: Collection[int]) -> None:
        super().__init__("redis", f"{len(groups)} slot groups did not take a write")
        self.groups = sorted(groups)


class HistoryCache(Protocol):
    async def get_many(self, user_ids: Sequence[str]) -> CachedHistories:
        """The cached histories of these users. Raises `DependencyDown`."""
        ...

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        """Stores each history unless a newer version of the same epoch is cached. False: only this process reads them.
        Raises `DependencyDown`, `SlotsNotWritten` where the others were stored.

        `epoch`: of `get_many` before the histories were read from Postgres, or read after they were committed.
        `settled`: of users in `histories`.
        """
        ...

    async def add_own_writes(self, records: Mapping[str, bytes]) -> Collection[str]:
        """Adds to the own writes of users, and returns the users whose own writes it does not keep now. Raises
        `DependencyDown`.
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

    async def put_many(
        self, histories: Mapping[str, Versioned], epoch: bytes, settled: Settled = NOTHING_SETTLED
    ) -> bool:
        now = time.monotonic()
        for user_id, written in histories.items():
            held = self._entries.pop(user_id, None)
            keep = held is not None and held[0] > now and held[1].version > written.version
            self._entries[user_id] = held if held is not None and keep else (now + self._ttl_sec, written)
        while len(self._entries) > self._max_keys:
            self._entries.pop(next(iter(self._entries)))
        return False
