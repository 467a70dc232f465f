"""Imports a catalogue file, batch by batch. A second run leaves items that did not change as they are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from anyio import to_thread

from app.adapters import audit, catalogue
from app.adapters.audit import AuditEntry
from app.adapters.catalogue import StoredItem
from app.adapters.postgres import Database
from app.importing.batches import Batch, take
from app.importing.items import ItemColumns, ItemRow
from app.importing.reader import FileLayout, read_items
from app.importing.rows import BadRow
from app.importing.transfer import BATCH_ROWS, Counts, Watcher, patiently, refuse_hopeless

_ACTOR: Final = "reco import"


class ItemImportCounts(Counts):
    """Counts of items. A second row of the same item counts as replaced or as unchanged."""

    created: int = 0
    replaced: int = 0
    unchanged: int = 0

    def sums(self) -> list[tuple[str, int, str]]:
        remark = "stored just so before" if self.unchanged else ""
        return [("new", self.created, ""), ("replaced", self.replaced, ""), ("unchanged", self.unchanged, remark)]


async def transfer_items(
    path: Path, source: FileLayout[ItemColumns], database: Database, counts: ItemImportCounts, watcher: Watcher
) -> None:
    """Imports the file and keeps `counts` up to date, also when this is cancelled.

    The last row of an item counts. Fields without a column keep their stored values.

    Raises `UserError` when the file cannot be read on, or Postgres stays away.
    """
    rows = read_items(path, source)
    before = counts.pos
    batch: Batch[ItemRow] | None = await to_thread.run_sync(_take, rows)
    while batch is not None:
        ahead = None if batch.last else asyncio.create_task(to_thread.run_sync(_take, rows))
        try:
            await _write(batch, source.columns.absent, database, counts)
            counts.pos = max(counts.pos, before + batch.pos)
        finally:
            following = await ahead if ahead else None
        watcher.rejected(batch.bad)
        watcher.moved(counts)
        refuse_hopeless(counts)
        if batch.read_error:
            raise batch.read_error
        batch = following


def _take(rows: Iterator[ItemRow | BadRow]) -> Batch[ItemRow]:
    return take(rows, lambda row: row.item_id, BATCH_ROWS)


async def _write(batch: Batch[ItemRow], keep: list[str], database: Database, counts: ItemImportCounts) -> None:
    latest: dict[str, ItemRow] = {}
    repeated_alike = 0
    for item_id, row in batch.rows:
        repeated_alike += item_id in latest and _same(latest[item_id], row)
        latest[item_id] = row
    items = [_item(row) for row in latest.values()]

    async def write() -> catalogue.Written:
        async with database.connection() as connection, connection.transaction():
            written = await catalogue.store(connection, items, [*keep, "attributes"])
            if written.item_ids:
                outcome = f"{written.created} created, {written.changed} replaced"
                entry = AuditEntry(
                    actor=_ACTOR, action="store_items", targets=written.item_ids, outcome=outcome, request_id=None
                )
                await audit.record(connection, [entry])
        return written

    written = await patiently(database, write) if items else catalogue.Written(0, 0, [])
    repeated = len(batch.rows) - len(items)
    counts.read += len(batch.rows) + len(batch.bad)
    counts.created += written.created
    counts.replaced += written.changed + repeated - repeated_alike
    counts.unchanged += len(items) - written.created - written.changed + repeated_alike
    counts.rejected += len(batch.bad)


def _same(one: ItemRow, other: ItemRow) -> bool:
    return _item(one) == _item(other)


def _item(row: ItemRow) -> StoredItem:
    return StoredItem(
        item_id=row.item_id,
        title=row.title,
        categories=row.categories,
        tags=row.tags,
        published_at=row.published_at,
        expires_at=row.expires_at,
        hidden=row.hidden,
    )
