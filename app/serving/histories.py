"""Reads a user's history, or the session's for an unknown user, from the cache or from Postgres."""

import contextlib
from collections.abc import Mapping
from typing import Final

from app import metrics
from app.adapters import features, sessions
from app.adapters.history_cache import CachedHistories, HistoryCache, Versioned
from app.adapters.postgres import Database
from app.adapters.sessions import Session
from app.core.history import History
from app.errors import DependencyDown
from app.serving.request_coalescer import RequestCoalescer

# For the part of a read that asks Postgres; the cache has its own deadline, which comes before.
_DATABASE_PATIENCE_SEC: Final = 0.75
_KEEP_SEC: Final = 300.0
_HITS: Final = metrics.CACHE_READS.labels("history", "hit")
_MISSES: Final = metrics.CACHE_READS.labels("history", "miss")


class Histories:
    """Reads the stored history for each answer; concurrent requests share a round trip."""

    def __init__(
        self,
        database: Database,
        cache: HistoryCache | None,
        *,
        strict_cache: bool,
        cache_timeout_sec: float,
        max_keys: int,
    ) -> None:
        self._database = database
        self._cache = cache
        self._strict_cache = strict_cache
        # Kept encoded: a decoded history takes three times the memory.
        self._users: RequestCoalescer[Versioned | None] = RequestCoalescer(
            "history",
            self._read,
            absent=None,
            patience_sec=cache_timeout_sec + _DATABASE_PATIENCE_SEC,
            keep_sec=_KEEP_SEC,
            max_keys=max_keys,
        )
        self._sessions: RequestCoalescer[Session | None] = RequestCoalescer(
            "session",
            self._read_sessions,
            absent=None,
            patience_sec=_DATABASE_PATIENCE_SEC,
            keep_sec=_KEEP_SEC,
            max_keys=max_keys,
        )

    async def of(self, user_id: str, session_id: str | None) -> History:
        """The user's history; for an unknown user, what the user who began this session did in it.

        Raises `DependencyDown` when it cannot be read and no recent copy is kept.
        """
        history = features.history_of(await self._users.get(user_id))
        if history.entries or session_id is None:
            return history
        session = await self._sessions.get(session_id)
        if session is None or session.user_id == user_id:
            return history
        of_session = features.history_of(await self._users.get(session.user_id))
        return History(tuple(entry for entry in of_session.entries if entry.at_ms >= session.started_ms))

    def forget(self, user_id: str) -> None:
        """Drops the copy of an erased user that is kept for outages."""
        self._users.forget(user_id)

    async def close(self) -> None:
        await self._users.close()
        await self._sessions.close()

    async def _read(self, user_ids: list[str]) -> Mapping[str, Versioned]:
        """Reads from the cache; reads missing histories from Postgres and adds them to the cache."""
        found = CachedHistories({}, None)
        if self._cache is not None:
            try:
                found = await self._cache.get_many(user_ids)
            except DependencyDown:
                if self._strict_cache:
                    raise
        _HITS.inc(len(found.histories))
        missing = [user_id for user_id in user_ids if user_id not in found.histories]
        if not missing:
            return found.histories
        _MISSES.inc(len(missing))
        async with self._database.connection() as connection:
            stored = await features.read_histories(connection, missing)
        # An unknown user is cached as empty: any write of the consumer has a greater version.
        loaded = {user_id: stored.get(user_id, Versioned(0, b"")) for user_id in missing}
        if self._cache is not None and found.epoch is not None:
            # The breaker and the health page show a failure; the answer does not depend on it.
            with contextlib.suppress(DependencyDown):
                await self._cache.put_many(loaded, found.epoch)
        return found.histories | loaded

    async def _read_sessions(self, session_ids: list[str]) -> Mapping[str, Session | None]:
        async with self._database.connection() as connection:
            return await sessions.read(connection, session_ids)
