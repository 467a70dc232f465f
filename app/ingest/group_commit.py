"""Group commit: requests append to a bounded buffer and wait; a few flushers write all waiting events in one statement.

There is no timer. A flush starts when the last one ends, so an idle service adds no delay, and the busier it is, the
more requests one commit serves.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeGuard

import asyncpg
import structlog
from msgspec import Struct

from app import metrics
from app.adapters.ingest import InsertStatus
from app.adapters.postgres_errors import is_bad_value, reason_of
from app.core.batch_size import BatchSize
from app.core.events import Record
from app.errors import BufferFull, Closed, DependencyDown, NotCommitted, TooLarge, describe
from app.supervisor import Progress, wait_for_stop

_log = structlog.get_logger(__name__)

Insert = Callable[[Sequence[Record]], Awaitable[list[InsertStatus]]]
Result = InsertStatus | asyncpg.PostgresError
"""What became of a record; Postgres' error when it refuses the values of this record (SQLSTATE class 22)."""

_SWEEP_SEC: Final = 0.05
_BEAT_SEC: Final = 1.0
_PROBE_SEC: Final = 0.25
_USERS_REFUSED: Final = 3
_FLUSH_LATENCY: Final = metrics.STAGE_LATENCY.labels("ingest_flush")


class _Submission(Struct, eq=False):
    records: Sequence[Record]
    future: asyncio.Future[list[Result]]
    deadline: float
    atomic: bool


# The error of a submission whose statement has not returned at its deadline.
_UNKNOWN: Final = "No commit in time: whether the events are stored is not known yet"
_NOT_STORED: Final = "The events are not stored: they waited too long for a commit"
# The error of a submission whose statement was interrupted by a failure of `run` or a restart.
_INTERRUPTED: Final = "The commit was interrupted: whether the events are stored is not known yet"


class GroupCommit:
    """`run` is the supervised task. `insert` stores records in one statement; `insert_atomic` does it all-or-nothing,
    a conflict included.

    A submission fails with `DependencyDown` when Postgres is away, when Postgres fails for another reason than a
    record's values, when the deadline passes, or when `run` fails during the statement. Whether its events are stored
    is then unknown to the client, who settles it by sending the same event ids again. Submissions that wait for a
    statement survive a failure of `run`: they are stored after the restart, or their deadline passes.

    The outcomes of the flushes decide whether the process is ready. `probe` does what a flush does and stores nothing;
    its outcome counts too, in two cases: while no requests come, for example because the process is not ready; and when
    events are refused for another reason than their values. A single event may be odd. Once events of three users are
    refused and none is stored in between, `probe` gets the first of them, and says whether events that are stored
    already would be refused now as well.
    """

    def __init__(
        self,
        insert: Insert,
        insert_atomic: Insert,
        *,
        max_pending: int,
        flush_max: int,
        flushers: int,
        timeout_sec: float,
        on_stored: Callable[[], None],
        probe: Callable[[Record | None], Awaitable[None]],
    ) -> None:
        self._insert = insert
        self._insert_atomic = insert_atomic
        self._max_pending = max_pending
        self._size = BatchSize(flush_max, budget_sec=timeout_sec)
        self._flushers = flushers
        self._timeout_sec = timeout_sec
        self._on_stored = on_stored
        self._probe = probe
        self._queue: deque[_Submission] = deque()
        self._in_flight: set[tuple[_Submission, ...]] = set()
        self._refused: dict[str, Record] = {}  # by user, since the last event that was stored
        self._pending = 0  # events that wait or are being written now
        self._closed = False
        self._wake = asyncio.Event()
        self._sweep_timer: asyncio.TimerHandle | None = None

    def submit(self, records: Sequence[Record], *, atomic: bool = False) -> asyncio.Future[list[Result]]:
        """A future of one result a record, in order. Raises `BufferFull` or `Closed` at once.

        Cancelling the wait does not cancel the write: the events are stored completely or not at all.
        """
        if self._closed:
            raise Closed
        if self._pending + len(records) > self._max_pending:
            raise BufferFull
        future = asyncio.get_running_loop().create_future()
        self._queue.append(_Submission(records, future, time.monotonic() + self._timeout_sec, atomic))
        self._pending += len(records)
        self._wake.set()
        if self._sweep_timer is None:
            self._sweep_timer = future.get_loop().call_later(_SWEEP_SEC, self._sweep)
        return future

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        """Flushes until `stop`; then takes no more submissions, and flushes what is left."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._flushers):
                group.create_task(self._flush_loop(progress))
            prober = group.create_task(self._probe_loop(progress))
            while not await wait_for_stop(stop, _BEAT_SEC):
                if not self._in_flight:
                    progress.beat()
            prober.cancel()
            self._closed = True
            self._wake.set()

    async def _probe_loop(self, progress: Progress) -> None:
        while True:
            await asyncio.sleep(_PROBE_SEC)
            started = time.monotonic()
            suspects = self._refuses_all and not progress.outcomes.failing(started)
            if not suspects and not progress.outcomes.quiet(started):
                continue
            refused = next(iter(self._refused.values())) if self._refuses_all else None
            try:
                await self._probe(refused)
            except (DependencyDown, asyncpg.PostgresError) as error:
                if not (isinstance(error, asyncpg.PostgresError) and is_bad_value(error)):
                    self._failed(progress, reason_of(error))
                    continue
            if refused is not None:
                self._refused.clear()
            self._stored_in(progress, time.monotonic() - started)

    async def _flush_loop(self, progress: Progress) -> None:
        while True:
            if not self._queue:
                if self._closed:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._take()
            self._in_flight.add(batch)
            try:
                await self._flush(batch, progress)
            except BaseException:
                # No submission may wait forever on a flush that ended unexpectedly.
                _fail(batch, NotCommitted(_INTERRUPTED))
                raise
            finally:
                self._in_flight.remove(batch)
                self._pending -= sum(len(submission.records) for submission in batch)
            progress.beat()

    def _take(self) -> tuple[_Submission, ...]:
        """The next submissions, up to `flush_max` events; an atomic one goes alone, because it may roll back."""
        batch = [self._queue.popleft()]
        count = len(batch[0].records)
        while self._queue and not batch[0].atomic and not self._queue[0].atomic:
            count += len(self._queue[0].records)
            if count > self._size.limit:
                break
            batch.append(self._queue.popleft())
        return tuple(batch)

    async def _flush(self, batch: Sequence[_Submission], progress: Progress) -> None:
        records = [record for submission in batch for record in submission.records]
        started = time.perf_counter()
        try:
            results = await self._store(records, self._insert_atomic if batch[0].atomic else self._insert)
        except (DependencyDown, asyncpg.PostgresError) as error:
            if isinstance(error, TooLarge):
                self._size.too_large(len(records))
            if isinstance(error, DependencyDown):
                self._failed(progress, describe(error))
            else:
                self._note_refused(records, [error] * len(records))
            _fail(batch, _as_failure(error))
            return
        took_sec = time.perf_counter() - started
        _FLUSH_LATENCY.observe(took_sec * 1000)
        metrics.INGEST_FLUSH_EVENTS.observe(len(records))
        self._on_stored()
        refused = any(isinstance(result, asyncpg.PostgresError) for result in results)
        if not refused:
            self._size.fitted(len(records), took_sec)
            self._stored_in(progress, took_sec)
        self._note_refused(records, results)
        position = 0
        for submission in batch:
            end = position + len(submission.records)
            own = results[position:end]
            if refused and (unclear := next(filter(_is_unclear, own), None)) is not None:
                _fail([submission], _as_failure(unclear))
            elif not submission.future.done():
                submission.future.set_result(own)
            position = end

    @property
    def _refuses_all(self) -> bool:
        return len(self._refused) >= _USERS_REFUSED

    def _note_refused(self, records: Sequence[Record], results: Sequence[Result]) -> None:
        if any(isinstance(result, str) for result in results):
            self._refused.clear()
            return
        for record, result in zip(records, results, strict=True):
            if _is_unclear(result) and not self._refuses_all:
                self._refused[record.user_id] = record

    async def _store(self, records: Sequence[Record], insert: Insert) -> list[Result]:
        """Splits when Postgres refuses the statement until the bad row is alone, so that only its request fails."""
        try:
            return list(await insert(records))
        except asyncpg.PostgresError as error:
            if insert is self._insert_atomic:
                raise
            if len(records) == 1:
                return [error]
        middle = len(records) // 2
        return [*await self._store(records[:middle], insert), *await self._store(records[middle:], insert)]

    def _stored_in(self, progress: Progress, took_sec: float) -> None:
        """A commit that comes after the requests' deadline answers none of them."""
        if took_sec > self._timeout_sec:
            self._failed(progress, f"a commit took {took_sec:.1f} s; requests wait at most {self._timeout_sec:g} s")
        else:
            if progress.outcomes.failures:
                _log.info("ingest_resumes", after_failures=progress.outcomes.failures)
            progress.worked()

    def _failed(self, progress: Progress, error: str) -> None:
        if not progress.outcomes.failures:
            _log.warning("ingest_fails", error=error)
        progress.failed(error)

    def _sweep(self) -> None:
        """Fails submissions past their deadline, queued or in a statement that does not return.

        A statement is left to its own timeout: to cancel it would need the server, which may be what is lost. A timer
        of the loop, and not part of `run`, so that deadlines hold even if `run` fails.
        """
        now = time.monotonic()
        while self._queue and self._queue[0].deadline < now:
            late = self._queue.popleft()
            self._pending -= len(late.records)
            _fail([late], NotCommitted(_NOT_STORED))
        for batch in self._in_flight:
            if batch[0].deadline < now:
                _fail([one for one in batch if one.deadline < now], NotCommitted(_UNKNOWN))
        metrics.INGEST_PENDING.set(self._pending)
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(_SWEEP_SEC, self._sweep) if self._pending else None


def _is_unclear(result: Result | Exception) -> TypeGuard[asyncpg.PostgresError]:
    """True when Postgres failed for another reason than the values: the same may succeed later."""
    return isinstance(result, asyncpg.PostgresError) and not is_bad_value(result)


def _as_failure(error: Exception) -> Exception:
    """What a submission fails with."""
    return DependencyDown("postgres", reason_of(error)) if _is_unclear(error) else error


def _fail(batch: Sequence[_Submission], error: Exception) -> None:
    for submission in batch:
        if not submission.future.done():
            submission.future.set_exception(error)
            submission.future.exception()  # a cancelled request does not await it, which is not an error
