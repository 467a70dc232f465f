"""Imports a catalogue file, batch by batch. A second run leaves items that did not change as they are."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from anyio import to_thread
from msgspec import structs

from app.adapters import attributes, audit, catalogue
from app.adapters.attributes import TooManyAttributes
from app.adapters.audit import AuditedAction, AuditEntry
from app.adapters.catalogue import StoredItem
from app.adapters.postgres import Database
from app.core.attributes import MAX_DECLARED, AttributeType
from app.errors import UserError
from app.importing.batches import Batch, take
from app.importing.counts import Counts, Watcher, refuse_hopeless
from app.importing.database import patiently
from app.importing.items import ItemColumns, ItemRow
from app.importing.reader import FileLayout, read_items
from app.importing.rows import BadRow
from app.importing.transfer import BATCH_ROWS

_ACTOR: Final = "reco import"


class ItemImportCounts(Counts):
    """Counts of items. A second row of the same item counts as replaced or as unchanged."""

    created: int = 0
    replaced: int = 0
    unchanged: int = 0

    def sums(self) -> list[tuple[str, int, str]]:
        remark = "stored just so before" if self.unchanged else ""
        return [("new", self.created, ""), ("replaced", self.replaced, ""), ("unchanged", self.unchanged, remark)]


async def declared(
    layouts: Sequence[tuple[Path, FileLayout[ItemColumns]]], database: Database
) -> list[tuple[Path, FileLayout[ItemColumns]]]:
    """Declares the attributes of the files that are not declared yet. A guessed type gives way to a declared one.

    Raises `UserError` for a type that is declared otherwise, and when there are too many attributes.
    """

    async def declare() -> dict[str, AttributeType]:
        types: dict[str, AttributeType] = {}
        async with database.connection() as connection, connection.transaction():
            for _, layout in layouts:
                for one in layout.columns.attributes:
                    stored, new = await attributes.declare(connection, one.name, one.type)
                    if stored.type != one.type and not one.guessed:
                        raise UserError(
                            f"the attribute {one.name} is declared as {stored.type}, not as {one.type}: read "
                            f"{one.column} as {stored.type}, or give the attribute another name"
                        )
                    types[one.name] = stored.type
                    if new:
                        await audit.record(connection, [_entry("declare_attribute", [one.name], "created")])
        return types

    if not any(layout.columns.attributes for _, layout in layouts):
        return list(layouts)
    try:
        types = await patiently(database, declare)
    except TooManyAttributes:
        raise UserError(f"there are {MAX_DECLARED} attributes already; delete one first") from None
    return [(path, structs.replace(layout, columns=_as_declared(layout.columns, types))) for path, layout in layouts]


def _as_declared(columns: ItemColumns, types: Mapping[str, AttributeType]) -> ItemColumns:
    named = tuple(structs.replace(one, type=types[one.name]) for one in columns.attributes)
    return structs.replace(columns, attributes=named)


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
            await _write(batch, source.columns, database, counts)
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


async def _write(batch: Batch[ItemRow], columns: ItemColumns, database: Database, counts: ItemImportCounts) -> None:
    latest: dict[str, ItemRow] = {}
    repeated_alike = 0
    for item_id, row in batch.rows:
        repeated_alike += item_id in latest and _same(latest[item_id], row)
        latest[item_id] = row
    items = [_item(row) for row in latest.values()]

    async def write() -> catalogue.Written:
        async with database.connection() as connection, connection.transaction():
            written = await catalogue.store(connection, items, columns.absent, [one.name for one in columns.attributes])
            if written.item_ids:
                outcome = f"{written.created} created, {written.changed} replaced"
                await audit.record(connection, [_entry("store_items", written.item_ids, outcome)])
        return written

    written = await patiently(database, write) if items else catalogue.Written(0, 0, [])
    repeated = len(batch.rows) - len(items)
    counts.read += len(batch.rows) + len(batch.bad)
    counts.created += written.created
    counts.replaced += written.changed + repeated - repeated_alike
    counts.unchanged += len(items) - written.created - written.changed + repeated_alike
    counts.rejected += len(batch.bad)


def _entry(action: AuditedAction, targets: Sequence[str], outcome: str) -> AuditEntry:
    return AuditEntry(actor=_ACTOR, action=action, targets=targets, outcome=outcome, request_id=None)


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
        attributes=row.attributes,
    )
