"""The demo data: real purchases of a UK web shop, moved to end within the last day."""

import asyncio
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console

from app.adapters.postgres import Database
from app.importing.mapping import ImportOptions
from app.importing.reader import Row, detect, read_rows
from app.importing.records import RowIds
from app.importing.screen import ImportScreen
from app.importing.transfer import ImportCounts, open_database, patiently, prepare, transfer
from app.importing.writer import SQL

SAMPLE: Final = Path(__file__).with_name("data") / "online_retail_sample.csv.gz"
_DAY_MS: Final = 24 * 3600 * 1000
_LOOKED_AT_ROWS: Final = 1_000


def load_demo(database_url: str) -> None:
    """Imports the sample with its titles; does nothing if the sample is stored already.

    Applies missing migrations. The events wait in the outbox for the relay. Raises `UserError`.
    """
    prepare(database_url)
    console = Console(file=sys.stderr)
    counts = ImportCounts()
    with ImportScreen(console, [SAMPLE], rejects=None) as screen:
        asyncio.run(_load(database_url, counts, screen))
    console.print(
        f"Demo data: {counts.imported + counts.duplicates:,} purchases of a web shop, {counts.imported:,} of them new"
    )


async def _load(database_url: str, counts: ImportCounts, screen: ImportScreen) -> None:
    now_ms = time.time_ns() // 1_000_000
    source = detect(SAMPLE, ImportOptions())
    database = open_database(database_url)
    try:
        shift_ms = await patiently(database, lambda: _shift(database, now_ms))
        await transfer(
            SAMPLE,
            source,
            database,
            counts,
            screen,
            now_ms=now_ms,
            latest_ms=now_ms,
            max_queued=None,
            shift_ms=shift_ms,
        )
    finally:
        await database.close(timeout_sec=1.0)


async def _shift(database: Database, now_ms: int) -> int:
    """Whole days that put the last purchase within the last day; the earlier shift if the sample is stored."""
    rows = (row for row in read_rows(SAMPLE, detect(SAMPLE, ImportOptions()), latest_ms=now_ms) if isinstance(row, Row))
    ids = RowIds()
    first = {ids.event_id(row): row.ts_ms for row in islice(rows, _LOOKED_AT_ROWS)}
    async with database.connection() as connection:
        stored = await connection.fetchrow(SQL["stored_time"], list(first))
    if stored is not None:
        return int(stored["ts_ms"]) - first[stored["event_id"]]
    last_ms = max(row.ts_ms for row in rows)
    return (now_ms - last_ms) // _DAY_MS * _DAY_MS
