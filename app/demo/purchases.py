"""The demo's purchases: those of a UK web shop, moved by whole days so that the last one is within the last day."""

from itertools import islice
from pathlib import Path
from typing import Final

from app.adapters.postgres import Database
from app.clock import clock
from app.importing.counts import ImportCounts
from app.importing.mapping import ImportOptions
from app.importing.reader import Row, detect, read_rows
from app.importing.records import RowIds
from app.importing.screen import ImportScreen
from app.importing.transfer import transfer
from app.importing.writer import SQL

SAMPLE: Final = Path(__file__).parent.parent / "importing" / "data" / "online_retail_sample.csv.gz"
DAY_MS: Final = 24 * 3600 * 1000
_LOOKED_AT_ROWS: Final = 1_000


async def load_purchases(database: Database, counts: ImportCounts, screen: ImportScreen, *, shift_ms: int) -> None:
    """Imports the sample with its titles; what is stored stays as it is. Raises `UserError`."""
    await transfer(
        SAMPLE,
        detect(SAMPLE, ImportOptions()),
        database,
        counts,
        screen,
        now_ms=clock.host_ms,
        latest_ms=clock.host_ms(),
        max_queued=None,
        shift_ms=shift_ms,
    )


async def find_shift(database: Database, now_ms: int) -> int:
    """Whole days that put the last purchase within the last day; the earlier shift if the sample is stored."""
    rows = (row for row in read_rows(SAMPLE, detect(SAMPLE, ImportOptions()), latest_ms=now_ms) if isinstance(row, Row))
    ids = RowIds()
    first = {ids.event_id(row): row.ts_ms for row in islice(rows, _LOOKED_AT_ROWS)}
    async with database.connection() as connection:
        stored = await connection.fetchrow(SQL["stored_time"], list(first))
    if stored is not None:
        return int(stored["ts_ms"]) - first[stored["event_id"]]
    last_ms = max(row.ts_ms for row in rows)
    return (now_ms - last_ms) // DAY_MS * DAY_MS
