"""A replica for reads that may be a moment old, and the primary in its place while it is away or too far behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from msgspec import Struct

from app.adapters import poolers, sql
from app.core.catching_up import CatchingUp
from app.core.interruptions import Interruptions
from app.core.lateness import Lateness
from app.core.replica_lag import ReplicaLag
from app.errors import Busy, DependencyDown, Interrupted, TooLarge, describe

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from app.adapters.postgres import Connection, Database

_log = structlog.get_logger(__name__)

_SQL: Final = sql.load(__file__)
_PROBE_SEC: Final = 1.4  # twice is less than a probe may take
# Standbys are some milliseconds apart as a rule. Answers may wait for that; for more, the primary is read.
_WAIT_SEC: Final = 0.3
_LOOK_AGAIN_SEC: Final = 0.01
_WAS_BEHIND: Final = "the replica was behind several times"
_INTERRUPTS: Final = (
    "the replica ends one read after the other for what it replays: set hot_standby_feedback = on there, or a longer "
    "max_standby_streaming_delay"
)


class ReadSource(Protocol):
    """Where reads go that may be a moment old."""

    @property
    def source(self) -> int:
        """Another number when another server answers from now on. What was read before may be newer than what comes."""

    @property
    def sessions(self) -> int:
        """How many connections were opened."""

    def connection(self) -> "AbstractAsyncContextManager[Connection]": ...


class ReadReplica:
    """`probe` is called again and again: it compares the servers, and decides which of them `connection` gives.

    A transaction on the replica sees all or nothing of one on the primary, so what is read together is consistent.
    """

    def __init__(self, primary: "Database", replica: "Database", *, max_lag_sec: float) -> None:
        self._primary = primary
        self._sessions_checked = not replica.has_sessions
        self._replica = replica
        self._max_lag_sec = max_lag_sec
        self._lag = ReplicaLag(limit_sec=max_lag_sec)
        self._is_used = False
        self._shown = 0
        """Up to where in the log reads have shown the changes, as far as that is known."""
        self._needed = 0
        """Up to where a server shows them that is not too late. It stays while the primary is away."""
        self._interruptions = Interruptions()
        self._lateness = Lateness()
        self._catching_up = CatchingUp()
        self._kept_away_for = _WAS_BEHIND
        self._cluster = ""
        """Which database the primary is."""
        self._primary_is_away = False
        self._left_for_a_read = False
        """Reads go to the primary since one failed, and for no other reason."""
        self.source = 0

    @property
    def sessions(self) -> int:
        return (self._replica if self._is_used else self._primary).sessions

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A connection for reads alone, which shows all that an earlier one has shown. Outages are raised as
        `DependencyDown`; the next one is of the primary then, but after `TooLarge` and `Interrupted`, which concern one
        statement alone: on a standby, what it replays ends reads that stand in its way. Where it ends one after the
        other, the primary takes its place for a minute. After `Busy` reads stay as well: whether the replica is there,
        probes tell, and the primary is not asked what is too much for it.

        A URL may lead to several servers, and each is late in its own way. One that is a moment behind what was seen
        is waited for. One that is further behind, or too late, leaves this read to the primary. Where all reads go
        there, `source` changes. Behind a pooler in transaction mode all of the read is one transaction, since the next
        one may be on another server.
        """
        if self._is_used:
            source = self.source
            try:
                async with self._replica.connection() as connection, self._on_one_server(connection):
                    is_behind = not await self._shows_enough(connection)
                    if source == self.source:
                        self._catching_up.begins(time.monotonic(), is_behind=is_behind)
                        if not is_behind:
                            yield connection
                            await self._show(connection, source)
                            return
            except (Busy, TooLarge):
                raise
            except Interrupted:
                self._count_interruption()
                raise
            except DependencyDown as error:
                if source == self.source:
                    self._leave_for_a_read(error.reason)
                self._sessions_checked = not self._replica.has_sessions
                raise
        source = self.source
        async with self._primary.connection() as connection:
            yield connection
            if self._is_used:
                await self._show(connection, source)

    async def probe(self) -> None:
        """Raises `DependencyDown` with the reason while the primary takes its place."""
        try:
            async with asyncio.timeout(_PROBE_SEC), self._primary.connection() as connection:
                primary = await position_of(connection)
        except (DependencyDown, TimeoutError) as error:
            # Nothing changes on it: the replica goes on if it was good enough before, also where reads were kept away.
            self._primary_is_away = True
            was_kept_up = self._lateness.end()
            if self._interruptions.end(time.monotonic()) or was_kept_up or await self._answers_again():
                self._use(True)
            goes_on = "; reads go on at the replica" if self._is_used else ""
            told = f"the primary does not answer, so that the lag of the replica is not known{goes_on}"
            raise DependencyDown("postgres-read", told) from error
        self._primary_is_away, self._cluster = False, primary.cluster
        now = time.monotonic()
        if self._lag.primary_at(primary.position, now):
            self._shown = 0  # of another log
        self._needed = self._lag.needed(now)
        try:
            async with asyncio.timeout(_PROBE_SEC):
                await self._check(primary)
            self._check_interruptions()  # meanwhile, too
        except (DependencyDown, TimeoutError) as error:
            if isinstance(error, Interrupted) and self._is_used and not self._count_interruption():
                return  # of this statement alone; the next probe tells
            reason = error.reason if isinstance(error, DependencyDown) else describe(error)
            self._use(False, reason)
            raise DependencyDown("postgres-read", f"{reason}; reads go to the primary") from error
        self._use(True)

    async def close(self, timeout_sec: float) -> None:
        await self._replica.close(timeout_sec)

    async def _show(self, connection: "Connection", source: int) -> None:
        """`source`: that of the beginning of the read. What was read before another one is loaded again anyway."""
        position = await _seen(connection)
        if source == self.source:
            # Another read may have shown more while this answer was on its way.
            self._shown = max(self._shown, position)

    async def _shows_enough(self, connection: "Connection") -> bool:
        """Whether it shows all that was shown, now or in a moment, and is not too late."""
        until = time.monotonic() + _WAIT_SEC
        while (seen := await _seen(connection)) < self._shown:
            if seen < self._needed or time.monotonic() >= until:
                return False
            await asyncio.sleep(_LOOK_AGAIN_SEC)
        return seen >= self._needed

    def _on_one_server(self, connection: "Connection") -> "AbstractAsyncContextManager[object]":
        return nullcontext() if self._replica.has_sessions else connection.transaction()

    def _leave_for_a_read(self, reason: str) -> None:
        """One failed. Where that happens again and again while probes succeed, reads stay away for longer each time.
        Not so while the primary is away: nothing else answers then.
        """
        if not self._primary_is_away:
            self._lateness.is_late(time.monotonic())
            self._kept_away_for = f"reads of the replica failed several times, at last with {reason}"
        self._use(False, reason)
        self._left_for_a_read = True

    async def _answers_again(self) -> bool:
        """Whether reads left it only since one failed, and it is there."""
        if self._left_for_a_read:
            with suppress(DependencyDown, TimeoutError):
                async with asyncio.timeout(_PROBE_SEC):
                    return (await self._position()).cluster == self._cluster
        return False

    def _count_interruption(self) -> bool:
        """Whether reads stay away from the replica for that."""
        if too_many := self._interruptions.add(time.monotonic()):
            self._use(False, _INTERRUPTS)
        return too_many

    def _check_interruptions(self) -> None:
        if self._interruptions.keep_away(time.monotonic()):
            raise DependencyDown("postgres-read", _INTERRUPTS)

    async def _position(self) -> "LogPosition":
        """Of the replica, whose pool is open then."""
        await self._replica.open()
        if not self._sessions_checked:
            async with self._replica.session() as connection, self._replica.session() as another:
                await poolers.check_reads(connection, another)
            self._sessions_checked = True
        async with self._replica.probing() as connection:
            return await position_of(connection)

    async def _check(self, primary: "LogPosition") -> None:
        self._lateness.asks()
        self._check_interruptions()
        replica = await self._position()
        if replica.cluster != primary.cluster:
            raise DependencyDown(
                "postgres-read",
                "DATABASE_READ_URL leads to another database than DATABASE_URL, or to a copy that is not a streaming "
                "replica of it",
            )
        now = time.monotonic()
        lag = self._lag.seconds(replica.position, now)
        if lag is None or lag > self._max_lag_sec + self._lag.step_sec:
            self._lateness.is_late(now)
            self._kept_away_for = _WAS_BEHIND
            behind = " by more than is remembered" if lag is None else f" by {lag:.1f} s"
            raise DependencyDown(
                "postgres-read",
                f"the replica is behind{behind}, and DATABASE_READ_MAX_LAG_SEC allows {self._max_lag_sec:g} s: see "
                "pg_stat_replication on the primary, and what runs on the replica",
            )
        if self._catching_up.takes_too_long(now):
            self._lateness.is_late(now)
            self._kept_away_for = _WAS_BEHIND
            raise DependencyDown(
                "postgres-read",
                "no read could begin at DATABASE_READ_URL for some seconds: its servers are behind what was read "
                "before, or each late in its own way; see pg_stat_replication on the primary",
            )
        if self._lateness.keep_away(now):
            raise DependencyDown(
                "postgres-read",
                f"{self._kept_away_for}; reads come back once it has kept up for {self._lateness.wait_sec:g} s",
            )

    def _use(self, is_used: bool, reason: str = "") -> None:
        self._left_for_a_read = False
        if is_used != self._is_used:
            self._is_used = is_used
            self._shown = 0
            self._catching_up.end()
            self.source += 1
            if is_used:
                _log.info("reads_on_replica")
            else:
                _log.warning("reads_on_primary", reason=reason)


class LogPosition(Struct, frozen=True):
    """`cluster`: which database this is. `position`: in bytes since its beginning."""

    cluster: str
    position: int


async def position_of(connection: "Connection") -> LogPosition:
    row = await connection.fetchrow(_SQL["position"])
    assert row is not None
    return LogPosition(row["cluster"], row["position"])


async def is_replay_paused(connection: "Connection") -> bool:
    found: bool = await connection.fetchval(_SQL["paused"])
    return found


async def _seen(connection: "Connection") -> int:
    """Up to where in the log the next statement sees the changes, at least."""
    found: int = await connection.fetchval(_SQL["seen"])
    return found
