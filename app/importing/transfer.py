"""Imports a log file: read, write, and wait while the outbox is full.

The only state to resume from is the stored events: their ids are derived from the rows, so a second run skips what is
stored and continues where the first one ended, however it ended.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread

from app.adapters.postgres import Database
from app.errors import UserError
from app.importing.backlog import STILL_FOR_SEC, wait_for_relay
from app.importing.batches import Batch, take
from app.importing.counts import ImportCounts, Watcher, refuse_hopeless
from app.importing.database import patiently
from app.importing.mapping import Columns
from app.importing.reader import FileLayout, read_rows
from app.importing.records import RowIds
from app.importing.rows import Row
from app.importing.writer import PreparedBatch, Writer

BATCH_ROWS: Final = 2_000


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
