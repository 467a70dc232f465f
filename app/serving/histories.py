"""Reads a user's history, or the session's for an unknown user, from the cache or from Postgres, and lays the user's
own writes over it.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from app import metrics
from app.adapters import changes, erasures, features, sessions
from app.adapters.history_cache import CachedHistories, HistoryCache, OwnLog, Versioned
from app.adapters.postgres import Database
from app.adapters.sessions import Session
from app.core import own_writes, persons
from app.core.history import History, standing
from app.core.model import Model
from app.core.own_writes import OwnWrite
from app.errors import DependencyDown
from app.serving.decoded_histories import DecodedHistories
from app.serving.own_writes import OwnWrites
from app.serving.request_coalescer import RequestCoalescer

# For the part of a read that asks Postgres; the cache has its own deadline, which comes before.
DATABASE_PATIENCE_SEC: Final = 0.75
_KEEP_SEC: Final = 300.0
_HITS: Final = metrics.CACHE_READS.labels("history", "hit")
_MISSES: Final = metrics.CACHE_READS.labels("history", "miss")


class _Read(Struct, frozen=True):
    """A history as it is stored, and the own writes to lay over it: those in Redis, and those of this process.

    The history is kept encoded: a decoded one takes three times the memory.
    """

    stored: Versioned
    shared: OwnLog | None = None
    own: tuple[OwnWrite, ...] = ()

    @property
    def is_counted(self) -> bool:
        """Whether nothing is to be laid over it."""
        return self.shared is None and not self.own

    def history(self, counted: Model) -> History:
        history = features.history_of(self.stored)
        if self.is_counted:
            return standing(history)
        shared = [] if self.shared is None else own_writes.decode(self.shared.records, erasures=self.shared.erasures)
        writes = {write.key: write for write in (*shared, *self.own)}.values()
        return standing(own_writes.laid_over(history, writes, counted))


_NOTHING: Final = _Read(Versioned(0, b""))


class Histories:
    """Reads the stored history for each answer; concurrent requests share a round trip. `own`: what this process
    keeps of its own writes.
    """

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        own: OwnWrites,
        *,
        strict_cache: bool,
        cache_timeout_sec: float,
        max_keys: int,
    ) -> None:
        self._database = database
        self._cache = cache
        self._own = own
        self._strict_cache = strict_cache
        self._users: RequestCoalescer[_Read] = RequestCoalescer(
            "history",
            self._read,
            absent=_NOTHING,
            patience_sec=cache_timeout_sec + DATABASE_PATIENCE_SEC,
            keep_sec=_KEEP_SEC,
            max_keys=max_keys,
        )
        self._decoded = DecodedHistories()
        self._sessions: RequestCoalescer[Session | None] = RequestCoalescer(
            "session",
            self._read_sessions,
            absent=None,
            patience_sec=DATABASE_PATIENCE_SEC,
            keep_sec=_KEEP_SEC,
            max_keys=max_keys,
        )

    async def of(self, user_id: str, session_id: str | None, counted: Model) -> History:
        """The user's history; for an unknown user, what the user who began this session did in it.

        `counted`: has the parameters that stored histories are made with. Raises `DependencyDown` when it cannot be
        read and no recent copy is kept.
        """
        read = await self._users.get(user_id)
        if read.stored.joined:
            history = await self._joined(user_id, read, counted)
        else:
            keep = self._users.keeps(user_id)
            history = self._decoded.of(user_id, (read, counted), lambda: read.history(counted), keep=keep)
        if history.entries or session_id is None:
            return history
        session = await self._sessions.get(session_id)
        if session is None or session.user_id == user_id:
            return history
        of_session = (await self._users.get(session.user_id)).history(counted)
        return History(tuple(entry for entry in of_session.entries if entry.at_ms >= session.started_ms))

    async def _joined(self, user_id: str, read: _Read, counted: Model) -> History:
        """The history of all ids of a person: those that are linked to the user's, those that are linked to these, and
        so on.
        """
        found = {user_id: read}
        while ids := persons.to_read((one for read in found.values() for one in read.stored.joined), found):
            found.update(zip(ids, await asyncio.gather(*map(self._users.get, ids)), strict=True))
        return persons.join([read.history(counted) for read in found.values()], counted)

    def forget(self, user_id: str) -> None:
        """Drops what this process keeps of an erased user: the copies of the history, and own writes."""
        self._drop_copies(user_id)
        self._own.forget(user_id)

    def outdate(self, change: Sequence[str]) -> None:
        """Drops the copies of the user whose erasure the change announces, by whatever process it was made. Own writes
        stay: they may be of after it, and Postgres tells when they are read.
        """
        user_id = changes.erased_user(change)
        if user_id is not None:
            self._drop_copies(user_id)

    def _drop_copies(self, user_id: str) -> None:
        self._users.forget(user_id)
        self._decoded.forget(user_id)

    async def close(self) -> None:
        await self._users.close()
        await self._sessions.close()

    async def _read(self, user_ids: list[str]) -> Mapping[str, _Read]:
        """Reads from the cache; reads missing histories from Postgres and adds them to the cache.

        The users whose own writes this process keeps are read from Postgres: it knows what is counted. It knows of
        erasures, too, of which a cache that holds no history may know nothing.
        """
        found = CachedHistories({}, None)
        if self._cache is not None:
            try:
                found = await self._cache.get_many(user_ids)
            except DependencyDown:
                if self._strict_cache:
                    raise
        _HITS.inc(len(found.histories))
        writers = {user_id for user_id in user_ids if self._own.of(user_id)}
        missing = [user_id for user_id in user_ids if user_id not in found.histories or user_id in writers]
        if not missing:
            return self._with_own(found.histories, found.own)
        _MISSES.inc(len(missing))
        async with self._database.connection() as connection:
            stored = await features.read_histories(connection, missing)
            asked = [user_id for user_id in missing if user_id in writers or user_id in found.own]
            erased = await erasures.last(connection, asked) if asked else {}
        for user_id in writers:
            last = erased.get(user_id)
            self._own.settle(
                user_id, features.history_of(stored.get(user_id)), erasures=0 if last is None else last.number
            )
        shared = found.own | {
            user_id: OwnLog(last.number, found.own[user_id].records)
            for user_id, last in erased.items()
            if user_id in found.own
        }
        # An unknown user is cached as empty: any write of the consumer has a greater version.
        loaded = {user_id: stored.get(user_id, Versioned(0, b"")) for user_id in missing}
        if self._cache is not None and found.epoch is not None:
            # The breaker and the health page show a failure; the answer does not depend on it.
            with contextlib.suppress(DependencyDown):
                await self._cache.put_many(loaded, found.epoch)
        return self._with_own(found.histories | loaded, shared)

    def _with_own(self, histories: Mapping[str, Versioned], shared: Mapping[str, OwnLog]) -> Mapping[str, _Read]:
        return {
            user_id: _Read(stored, shared.get(user_id), tuple(self._own.of(user_id)))
            for user_id, stored in histories.items()
        }

    async def _read_sessions(self, session_ids: list[str]) -> Mapping[str, Session | None]:
        async with self._database.connection() as connection:
            return await sessions.read(connection, session_ids)
