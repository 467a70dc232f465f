"""Events and their outbox rows into Postgres, a whole group at a time."""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import asyncpg
from msgspec import Struct, structs

from app.adapters import sql
from app.adapters.arrays import joined_texts, number_array
from app.core.events import Record

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

InsertStatus = Literal["accepted", "duplicate", "conflict"]

_SQL = sql.load(__file__)


class Inserted(Struct, frozen=True):
    """`statuses`: what became of each record, in order. `erasures`: the number of the last erasure of any user before
    the first of them was stored; 0: there was none, or all were stored before.
    """

    statuses: list[InsertStatus]
    erasures: int = 0


async def insert_events(
    connection: "Connection", records: Sequence[Record], *, erasures_of: Mapping[str, int] | None = None
) -> Inserted:
    """Stores the new ones among the records with their outbox rows.

    All or none, in one statement. An id that is stored already, or that stands twice in `records`, is a duplicate
    when the content is the same and a conflict otherwise. Raises asyncpg's errors.

    `erasures_of`: for events of long ago, which a later erasure of their user erases too, whatever the time at which
    they are stored: the number of the last erasure of each user that the caller knows of.
    """
    first: dict[str, Record] = {}
    for record in records:
        first.setdefault(record.event_id, record)
    inserted: set[str] = set()
    erasures: int | None = None
    stored: dict[str, bytes] = {}
    rows = list(first.values())
    while rows:
        found = await _insert(connection, rows, erasures_of)
        if found:
            inserted.update([row[0] for row in found])
            erasures = found[0][1] if erasures is None else erasures
        if len(inserted) == len(records):
            return Inserted(["accepted"] * len(records), erasures or 0)
        known = [record for record in rows if record.event_id not in inserted]
        if known:
            hashes = await connection.fetch(_SQL["content_hashes"], [record.event_id for record in known])
            stored |= {row[0]: row[1] for row in hashes}
        # What was there and is gone again, erased between the two statements, is new after all.
        rows = [record for record in known if record.event_id not in stored]
    stored |= {event_id: first[event_id].content_hash for event_id in inserted}
    return Inserted([_outcome(record, first, inserted, stored) for record in records], erasures or 0)


async def _insert(
    connection: "Connection", rows: Sequence[Record], erasures_of: Mapping[str, int] | None
) -> "list[asyncpg.Record]":
    """Inserts those whose ids are not taken. Their ids, each with the number of the last erasure."""
    states = [r.tracestate or "" for r in rows]
    found: list[asyncpg.Record] = await connection.fetch(
        _SQL["insert_events"],
        joined_texts([r.event_id for r in rows]),
        joined_texts([r.event_type for r in rows]),
        joined_texts([r.user_id for r in rows]),
        joined_texts([r.session_id for r in rows]),
        joined_texts([r.request_id or "" for r in rows]),
        number_array([r.ts_ms for r in rows]),
        [r.content_hash for r in rows],
        joined_texts([r.payload for r in rows]),
        joined_texts([r.topic for r in rows]),
        joined_texts([r.traceparent or "" for r in rows]),
        # Few requests have one. A null is a column of nulls, and costs no array.
        joined_texts(states) if any(states) else None,
        None if erasures_of is None else number_array([erasures_of.get(r.user_id, 0) for r in rows]),
    )
    return found


def _outcome(record: Record, first: dict[str, Record], inserted: set[str], stored: dict[str, bytes]) -> InsertStatus:
    if record.event_id in inserted and first[record.event_id] is record:
        return "accepted"
    return "duplicate" if stored[record.event_id] == record.content_hash else "conflict"


async def insert_all_or_none(connection: "Connection", records: Sequence[Record]) -> Inserted:
    """As `insert_events`, but when one of them is a conflict, nothing is stored."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        inserted = await insert_events(connection, records)
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.rollback() if "conflict" in inserted.statuses else transaction.commit())
    return inserted


async def try_insert(connection: "Connection", refused: Record | None) -> None:
    """Does all that storing an event does, with its locks, triggers and disk space, and rolls it back.

    The event is one of its own. When events are `refused`, of which this is one, it is like one that is stored already:
    the latest ones of up to five users are tried, until one would be stored again; `refused` itself when none is there.
    Raises the last of asyncpg's errors; each try takes at most 2 s.
    """
    name = f"readiness-probe-{uuid.uuid4().hex}"
    if refused is None:
        tried = [Record(name, "view", name, name, None, time.time_ns() // 1_000_000, b"", "{}", name)]
    else:
        rows = await connection.fetch(_SQL["latest_of_five_users"])
        # Under another id, so that no other process waits for this row.
        stored = [Record(event_id=name, topic=name, **dict(row)) for row in rows]
        tried = stored or [structs.replace(refused, event_id=name)]
    *others, last = tried
    for record in others:
        with suppress(asyncpg.PostgresError):
            await _insert_and_roll_back(connection, record)
            return
    await _insert_and_roll_back(connection, last)


async def _insert_and_roll_back(connection: "Connection", record: Record) -> None:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_SQL["be_quick"])
        await insert_events(connection, [record])
        await connection.execute(_SQL["count_probe"])
    finally:
        await transaction.rollback()
