"""Writes a batch of rows to Postgres: events, outbox rows and titles in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec
from msgspec import Struct

from app.adapters import erasures, sql
from app.adapters.arrays import joined_texts, number_array
from app.adapters.counted_events import known_ids
from app.adapters.ingest import insert_events
from app.core.erasure import LastErasure
from app.core.events import Record
from app.importing.records import to_record
from app.importing.rows import BadRow, Row, clean_title
from app.importing.values import absent

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

SQL: Final = sql.load(__file__)


Rows = list[tuple[str, Row]]
Columns = tuple[str, str, str, str, str, list[bytes], str, str]
"""What the statement `add_events` takes."""


class PreparedBatch(Struct, frozen=True):
    """Rows with their event ids, and the columns that store them all as new; None where some may be stored already."""

    rows: Rows
    columns: Columns | None


class WrittenBatch(Struct):
    """The result of one batch; `accepted` holds the ids of the new events. `erased`: rows that were left out."""

    accepted: list[str]
    duplicates: int = 0
    conflicts: Sequence[BadRow] = ()
    erased: int = 0


class Writer:
    """Writes batches in order, each received at the time that `now_ms` says then: what came later is known by that.
    `shift_ms` is added to the time of each event after its id is derived.

    What users did before they were erased is left out, as `reco rebuild` leaves it out of its files.
    """

    def __init__(self, *, now_ms: Callable[[], int], shift_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._shift_ms = shift_ms
        self._expect_known = True
        self._titled: set[str] = set()

    def prepare(self, rows: Rows) -> PreparedBatch:
        """What needs no database; in another thread, while the batch before is written."""
        return PreparedBatch(rows, None if self._expect_known else event_columns(self._records(rows)))

    async def write(self, connection: "Connection", batch: PreparedBatch) -> WrittenBatch:
        """Writes the whole batch, or nothing if it raises (asyncpg's errors). Writing the same batch again is safe.

        A user who is erased meanwhile was erased before the batch, which leaves the rows of before out, or after it,
        which removes them.
        """
        try:
            return await self._written(connection, batch.rows, batch.columns)
        except asyncpg.UniqueViolationError as error:
            if batch.columns is None or error.table_name != "events":
                raise
        # Some are stored already. No savepoint: events of a subtransaction would be missing in exports (ADR 57).
        return await self._written(connection, batch.rows, None)

    async def _written(self, connection: "Connection", batch: Rows, columns: Columns | None) -> WrittenBatch:
        """`columns`: of rows that are all taken for new."""
        async with connection.transaction():
            await connection.execute(SQL["lock_tables"])
            erased = await erasures.last(connection, {row.user_id for _, row in batch})
            rows = self._not_erased(batch, erased)
            if columns is not None and not erased:
                await add_events(connection, columns)
                written = WrittenBatch([event_id for event_id, _ in rows])
            else:
                written = await self._inserted(connection, rows, erased)
            titles = await self._add_titles(connection, rows)
        written.erased = len(batch) - len(rows)
        self._titled.update(titles)
        self._expect_known = len(written.accepted) < len(rows)
        return written

    def _not_erased(self, rows: Rows, erased: Mapping[str, LastErasure]) -> Rows:
        """The rows without what their users did until they were erased."""
        if not erased:
            return rows
        return [
            (event_id, row)
            for event_id, row in rows
            if (last := erased.get(row.user_id)) is None or not last.covers(row.ts_ms + self._shift_ms)
        ]

    async def _inserted(self, connection: "Connection", rows: Rows, erased: Mapping[str, LastErasure]) -> WrittenBatch:
        known = await self._known(connection, rows)
        new = [(event_id, row) for event_id, row in rows if event_id not in known]
        records = self._records(new)
        numbers = {user_id: last.number for user_id, last in erased.items()}
        outcomes = (await insert_events(connection, records, erasures_of=numbers)).statuses if records else []
        conflicts = [_conflict(row) for (_, row), outcome in zip(new, outcomes, strict=True) if outcome == "conflict"]
        accepted = [record.event_id for record, outcome in zip(records, outcomes, strict=True) if outcome == "accepted"]
        return WrittenBatch(accepted, len(rows) - len(accepted) - len(conflicts), conflicts)

    def _records(self, rows: Rows) -> list[Record]:
        now_ms = self._now_ms()
        return [to_record(row, event_id, now_ms=now_ms, shift_ms=self._shift_ms) for event_id, row in rows]

    async def _known(self, connection: "Connection", rows: Rows) -> set[str]:
        """The derived ids that are stored already: the same id means the same row. Ids from the file do not count here.

        This query makes a second import of a file nearly twice as fast; it is skipped while all rows are new.
        """
        made = [event_id for event_id, row in rows if row.event_id is None]
        return await known_ids(connection, made) if made else set()

    async def _add_titles(self, connection: "Connection", rows: Rows) -> list[str]:
        """The items that may have got one now."""
        titles = {}
        for _, row in rows:
            if row.title and row.item_id not in self._titled and not absent(row.title):
                titles[row.item_id] = clean_title(row.title)
        titles = {item_id: title for item_id, title in titles.items() if title}
        if titles:
            await connection.execute(SQL["add_titles"], list(titles), list(titles.values()))
        return list(titles)


def event_columns(records: Sequence[Record]) -> Columns:
    """For `add_events`."""
    return (
        joined_texts([record.event_id for record in records]),
        joined_texts([record.event_type for record in records]),
        joined_texts([record.user_id for record in records]),
        joined_texts([record.session_id for record in records]),
        number_array([record.ts_ms for record in records]),
        [record.content_hash for record in records],
        joined_texts([record.payload for record in records]),
        joined_texts([record.topic for record in records]),
    )


async def add_events(connection: "Connection", columns: Columns) -> None:
    """Stores all of them with their outbox rows, or none. Their users were never erased.

    Raises `asyncpg.UniqueViolationError` of the table `events` when an id is stored already, or stands there twice.
    """
    await connection.execute(SQL["add_events"], *columns)


def _conflict(row: Row) -> BadRow:
    return BadRow(
        line=row.line,
        pos=row.pos,
        reason=f"the event id {row.event_id} is stored already with other content",
        text=msgspec.json.encode(msgspec.structs.replace(row, counts=None)).decode(),
    )
