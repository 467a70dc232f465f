"""Writes a batch of rows to Postgres: events, outbox rows and titles in one transaction."""

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from app.adapters import sql
from app.adapters.ingest import insert_events
from app.core.events import Record
from app.importing.records import to_record
from app.importing.rows import BadRow, Row, clean_title
from app.importing.values import absent

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

SQL: Final = sql.load(__file__)


Rows = list[tuple[str, Row]]


class PreparedBatch(Struct, frozen=True):
    """Rows with their event ids, and the records of all of them; None where some may be stored already."""

    rows: Rows
    records: list[Record] | None


class WrittenBatch(Struct, frozen=True):
    """The result of one batch; `accepted` holds the ids of the new events."""

    accepted: list[str]
    duplicates: int
    conflicts: list[BadRow]


class Writer:
    """Writes batches in order. `shift_ms` is added to the time of each event after its id is derived."""

    def __init__(self, *, now_ms: int, shift_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._shift_ms = shift_ms
        self._expect_known = True
        self._titled: set[str] = set()

    def prepare(self, rows: Rows) -> PreparedBatch:
        """What needs no database; in another thread, while the batch before is written."""
        return PreparedBatch(rows, None if self._expect_known else self._records(rows))

    async def write(self, connection: "Connection", batch: PreparedBatch) -> WrittenBatch:
        """Writes the whole batch, or nothing if it raises (asyncpg's errors). Writing the same batch again is safe."""
        new, records = batch.rows, batch.records
        async with connection.transaction():
            if records is None:
                known = await self._known(connection, batch.rows)
                new = [(event_id, row) for event_id, row in batch.rows if event_id not in known]
                records = self._records(new)
            outcomes = (await insert_events(connection, records)).statuses if records else []
            titles = self._new_titles(batch.rows)
            if titles:
                await connection.execute(SQL["add_titles"], list(titles), list(titles.values()))
        self._titled.update(titles)
        conflicts = [_conflict(row) for (_, row), outcome in zip(new, outcomes, strict=True) if outcome == "conflict"]
        accepted = [record.event_id for record, outcome in zip(records, outcomes, strict=True) if outcome == "accepted"]
        self._expect_known = len(accepted) < len(batch.rows)
        return WrittenBatch(accepted, len(batch.rows) - len(accepted) - len(conflicts), conflicts)

    def _records(self, rows: Rows) -> list[Record]:
        return [to_record(row, event_id, now_ms=self._now_ms, shift_ms=self._shift_ms) for event_id, row in rows]

    async def _known(self, connection: "Connection", rows: Rows) -> set[str]:
        """The derived ids that are stored already: the same id means the same row. Ids from the file do not count here.

        This query makes a second import of a file nearly twice as fast; it is skipped while all rows are new.
        """
        made = [event_id for event_id, row in rows if row.event_id is None]
        if not made:
            return set()
        return {found["event_id"] for found in await connection.fetch(SQL["known_ids"], made)}

    def _new_titles(self, rows: Rows) -> dict[str, str]:
        titles = {}
        for _, row in rows:
            if row.title and not absent(row.title) and row.item_id not in self._titled:
                titles[row.item_id] = clean_title(row.title)
        return {item_id: title for item_id, title in titles.items() if title}


def _conflict(row: Row) -> BadRow:
    return BadRow(
        line=row.line,
        pos=row.pos,
        reason=f"the event id {row.event_id} is stored already with other content",
        text=msgspec.json.encode(row).decode(),
    )
