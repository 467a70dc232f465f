"""Imports a log file: read, write, and wait while the outbox is full.

The only state to resume from is the stored events: their ids are derived from the rows, so a second run skips what is
stored and continues where the first one ended, however it ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from anyio import to_thread
from msgspec import Struct

from app.adapters import event_types, migrations
from app.adapters.postgres import Database, PoolOptions
from app.core.event_types import EventTypes
from app.errors import DependencyDown, UserError
from app.importing.backlog import STILL_FOR_SEC, IdSample, wait_for_relay
from app.importing.batches import Batch, take
from app.importing.mapping import Columns
from app.importing.reader import FileLayout, read_rows
from app.importing.records import RowIds
from app.importing.rows import BadRow, Row
from app.importing.time_order import TimeOrder
from app.importing.user_sample import UserSample
from app.importing.writer import PreparedBatch, Writer

BATCH_ROWS: Final = 2_000
_HOPELESS_ROWS: Final = 10_000
_PATIENCE_SEC: Final = 60.0
_RETRY_SEC: Final = 1.0
_T = TypeVar("_T")


class Counts(Struct):
    """Counts of the rows so far. `pos`: bytes read of all files. `queued`: events that wait for a relay."""

    read: int = 0
    rejected: int = 0
    pos: int = 0
    queued: int = 0

    def notice(self) -> str:
        """What is remarkable about the rows, or an empty string."""
        return ""

    def mostly_rejected(self) -> bool:
        """Whether more than half of the rows were rejected."""
        return 2 * self.rejected > self.read

    def sums(self) -> list[tuple[str, int, str]]:
        """The totals of the accepted rows: name, number, and a remark or an empty string."""
        return []


class ImportCounts(Counts):
    """Counts of events."""

    imported: int = 0
    duplicates: int = 0
    erased: int = 0
    sample: IdSample = msgspec.field(default_factory=IdSample)
    users: UserSample = msgspec.field(default_factory=UserSample)
    order: TimeOrder = msgspec.field(default_factory=TimeOrder)

    def notice(self) -> str:
        return "\n".join(filter(None, (self.users.notice(), self.order.notice())))

    def sums(self) -> list[tuple[str, int, str]]:
        remark = "stored before, not counted again" if self.duplicates else ""
        left_out = "of before the erasure of their users, left out" if self.erased else ""
        return [
            ("imported", self.imported, ""),
            ("duplicates", self.duplicates, remark),
            ("erased", self.erased, left_out),
        ]


class Watcher:
    """Receives progress; the default ignores it."""

    def moved(self, counts: Counts) -> None:
        """A batch was written, or the import still waits for the relay (`counts.queued` > 0)."""

    def rejected(self, rows: Sequence[BadRow]) -> None:
        """These rows were rejected."""


def refuse_hopeless(counts: Counts) -> None:
    """Raises `UserError` once thousands of rows were read and none was good."""
    if counts.rejected == counts.read >= _HOPELESS_ROWS:
        raise UserError(
            f"All of the first {counts.read:,} rows were rejected, so the import stopped. "
            "Correct the options or the file by the reasons above, then run it again."
        )


def prepare(database_url: str) -> None:
    """Applies missing migrations, as the service itself does at its start. Raises `UserError`."""
    try:
        migrations.migrate(database_url)
    except DependencyDown as error:
        raise UserError(f"{error}. Check DATABASE_URL and that the server is up.") from error


async def types_in_use(database_url: str) -> EventTypes:
    """What rows may be, and for how much they count. Raises `UserError`."""
    database = open_database(database_url)

    async def read() -> EventTypes:
        async with database.connection() as connection:
            return await event_types.read_types(connection)

    try:
        return await patiently(database, read)
    finally:
        await database.close(timeout_sec=1.0)


def open_database(url: str) -> Database:
    """A small pool for one import: batches are larger than requests, so the timeouts are longer than the API's."""
    return Database(
        url,
        PoolOptions(
            min_size=1,
            max_size=2,
            connect_timeout_sec=5.0,
            statement_timeout_ms=30_000,
            lock_timeout_ms=10_000,
            application_name="reco import",
            transaction_timeout_sec=120.0,
        ),
    )


async def transfer(
    path: Path,
    source: FileLayout[Columns],
    database: Database,
    counts: ImportCounts,
    watcher: Watcher,
    *,
    now_ms: Callable[[], int],
    latest_ms: int,
    max_queued: int | None,
    shift_ms: int = 0,
    still_sec: float = STILL_FOR_SEC,
) -> None:
    """Imports the file and keeps `counts` up to date, also when this is cancelled.

    Pauses while more than about `max_queued` events (None: no limit) wait for a relay, and gives up when none of them
    is published for `still_sec`. Adds `shift_ms` to the time of each event.
    Raises `UserError` when the file cannot be read further, Postgres stays unreachable, or no relay publishes.
    """
    rows = read_rows(path, source, latest_ms=latest_ms)
    before = counts.pos
    ids = RowIds()
    writer = Writer(now_ms=now_ms, shift_ms=shift_ms)
    step = max_queued // 10 if max_queued else 0
    unchecked = step  # events queued by earlier imports count as well

    def read() -> tuple[Batch[Row], PreparedBatch]:
        batch = take(rows, ids.event_id, BATCH_ROWS)
        return batch, writer.prepare(batch.rows)

    async def write(batch: Batch[Row], prepared: PreparedBatch) -> None:
        nonlocal unchecked
        async with database.connection() as connection:
            written = await writer.write(connection, prepared)
        rejected = [*batch.bad, *written.conflicts]
        counts.read += len(batch.rows) + len(batch.bad)
        counts.imported += len(written.accepted)
        counts.duplicates += written.duplicates
        counts.erased += written.erased
        counts.rejected += len(rejected)
        counts.pos = max(counts.pos, before + batch.pos)
        counts.sample.add(written.accepted)
        counts.users.add(row.user_id for _, row in batch.rows)
        counts.order.add([row.ts_ms for _, row in batch.rows])
        unchecked += len(written.accepted)
        watcher.rejected(rejected)
        watcher.moved(counts)
        refuse_hopeless(counts)

    async def make_room() -> None:
        limit = max_queued or 0

        def report(queued: int) -> None:
            counts.queued = queued if queued > limit else 0
            watcher.moved(counts)

        if not await wait_for_relay(database, down_to=limit, report=report, still_sec=still_sec):
            raise UserError(
                f"No relay publishes events from the outbox: {counts.queued:,} are waiting. Start the roles "
                "relay and consumer (`reco serve`), then run the same command again: it continues where it stopped. "
                "Or use --no-wait to queue everything now."
            )

    batch, prepared = await to_thread.run_sync(read)
    while True:
        ahead = None if batch.last else asyncio.create_task(to_thread.run_sync(read))
        try:
            await patiently(database, partial(write, batch, prepared))
            if max_queued and unchecked >= step:
                unchecked = 0
                await patiently(database, make_room)
        finally:
            following = await ahead if ahead else None
        if batch.read_error:
            raise batch.read_error
        if following is None:
            return
        batch, prepared = following


async def patiently(database: Database, work: Callable[[], Awaitable[_T]]) -> _T:
    """Runs `work`, and retries it while Postgres is unreachable, for up to a minute. Then raises `UserError`."""
    deadline = time.monotonic() + _PATIENCE_SEC
    while True:
        try:
            await database.open()
            return await work()
        except DependencyDown as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"Postgres stays unreachable ({error}). Imported events are safe; run the same command again."
                ) from error
        await asyncio.sleep(_RETRY_SEC)
