"""Keeps the events that this process has just committed, until the stored histories count them.

They are in Redis, where every API process sees them; in this process while Redis is off or away.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from app.adapters.history_cache import HistoryCache
from app.core import own_writes
from app.core.events import Record
from app.core.history import MAX_ITEMS, History
from app.core.own_writes import OwnWrite
from app.errors import DependencyDown

_KEEP_SEC: Final = 3600.0


class _Kept(Struct):
    """`until`: seconds of the monotonic clock."""

    until: float
    writes: list[OwnWrite]


class OwnWrites:
    """`cache` None: they are kept in this process. There, at most `max_events` of all users and 50 of one are kept, for
    an hour at most; those of the users who were longest without an event go first.
    """

    def __init__(self, cache: HistoryCache | None, *, max_events: int) -> None:
        self._cache = cache
        self._max_events = max_events
        self._kept: dict[str, _Kept] = {}
        self._events = 0

    async def add(self, records: Iterable[Record], *, erasures: int) -> None:
        """Keeps records that are committed. `erasures`: the number of the last erasure before they were stored."""
        added: dict[str, list[OwnWrite]] = {}
        for record in records:
            if record.event_type != "impression":
                write = OwnWrite(own_writes.key_of(record.event_id), erasures, own_writes.entry_of(record.payload))
                added.setdefault(record.user_id, []).append(write)
        if added and (left := await self._not_shared(added)):
            self._keep({user_id: added[user_id] for user_id in left})

    def of(self, user_id: str) -> list[OwnWrite]:
        """Those of the user that this process keeps."""
        kept = self._kept.get(user_id)
        if kept is None:
            return []
        if kept.until < time.monotonic():
            self.forget(user_id)
            return []
        return kept.writes

    def settle(self, user_id: str, history: History, *, erasures: int) -> None:
        """Drops what this history, read from Postgres, counts, and what the user's last erasure came after."""
        writes = [write for write in self.of(user_id) if write.erasures >= erasures]
        left = own_writes.uncounted(history, writes)
        if (kept := self._kept.get(user_id)) is not None:
            self._events += len(left) - len(kept.writes)
            kept.writes = left
            if not left:
                del self._kept[user_id]

    def forget(self, user_id: str) -> None:
        kept = self._kept.pop(user_id, None)
        if kept is not None:
            self._events -= len(kept.writes)

    async def _not_shared(self, added: Mapping[str, Sequence[OwnWrite]]) -> Collection[str]:
        """The users whose writes Redis has not."""
        if self._cache is None:
            return added
        records = {user_id: b"".join(map(own_writes.encode, _latest(writes))) for user_id, writes in added.items()}
        try:
            return await self._cache.add_own_writes(records)
        except DependencyDown:
            return added

    def _keep(self, added: Mapping[str, Sequence[OwnWrite]]) -> None:
        until = time.monotonic() + _KEEP_SEC
        for user_id, writes in added.items():
            known = self.of(user_id)
            self.forget(user_id)
            kept = _Kept(until, _latest([*known, *writes]))
            self._kept[user_id] = kept
            self._events += len(kept.writes)
        while self._events > self._max_events:
            self.forget(next(iter(self._kept)))


def _latest(writes: Sequence[OwnWrite]) -> list[OwnWrite]:
    """No more than a history holds, by event time."""
    if len(writes) <= MAX_ITEMS:
        return list(writes)
    return sorted(writes, key=lambda write: write.entry.at_ms)[-MAX_ITEMS:]
