"""An import stores new events as the API stores them, and they are erased with the others."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest

from app.adapters import erasures
from app.adapters.ingest import insert_events
from app.adapters.postgres import Database
from app.core.events import Record
from app.importing.backlog import IdSample, wait_for_consumer
from app.importing.records import to_record
from app.importing.rows import Row
from app.importing.writer import PreparedBatch, Writer, add_events, event_columns
from app.settings import Settings
from tests.integration.test_import import HEADER, run
from tests.support.api import serving
from tests.support.database import ask
from tests.support.pipeline import database, until

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]


NOW_MS = 1_700_000_000_000
AWKWARD = ("plain", "\\N", "\\.", "back\\slash\\", 'a "quote"', "ünï😀", "a b", "{1,2}", "'; DROP")


def records() -> list[Record]:
    """In the opposite order of their ids."""
    return [to_record(row(text), f"event-{99 - number:04}", now_ms=NOW_MS) for number, text in enumerate(AWKWARD)]


def row(text: str) -> Row:
    return Row(user_id=text, session_id=f"s {text}", item_id=text, event_type="view", ts_ms=NOW_MS, line=1, pos=1)


async def all_stored(pool: "Pool") -> list[list[tuple[Any, ...]]]:
    """All columns but the numbers and the times that Postgres gives, and empties both tables."""
    tables = []
    for table, order in (("events", "event_id"), ("event_outbox", "id")):
        found = await pool.fetch(f"SELECT * FROM {table} ORDER BY {order}")
        own = ("id", "received_at", "created_at", "available_at")
        tables.append([tuple(value for name, value in row.items() if name not in own) for row in found])
        await pool.execute(f"DELETE FROM {table}")
    return tables


async def test_new_rows_are_those_of_the_api(pool: "Pool") -> None:
    await pool.execute("SELECT setval('erasure_numbers', 7)")
    async with pool.acquire() as connection, connection.transaction():
        await insert_events(connection, records(), erasures_of={})
    inserted = await all_stored(pool)
    async with pool.acquire() as connection, connection.transaction():
        await add_events(connection, event_columns(records()))
    assert await all_stored(pool) == inserted
    assert len(inserted[0]) == len(inserted[1]) == len(AWKWARD)


async def test_a_taken_id_leaves_nothing_behind(pool: "Pool") -> None:
    async with pool.acquire() as connection:
        await insert_events(connection, records()[3:4])
        with pytest.raises(asyncpg.UniqueViolationError) as error:
            async with connection.transaction():
                await add_events(connection, event_columns(records()))
    assert error.value.table_name == "events"
    assert await pool.fetchval("SELECT count(*) FROM events") == 1
    assert await pool.fetchval("SELECT count(*) FROM event_outbox") == 1


async def test_an_import_that_is_under_way_is_erased_before_the_answer(
    settings: Settings, database_url: str, pool: "Pool"
) -> None:
    writer = await asyncpg.connect(database_url)
    transaction = writer.transaction()
    await transaction.start()
    await add_events(writer, event_columns(records()))
    async with serving(settings) as client:
        erasing = asyncio.create_task(client.delete("/users/plain"))
        await until(lambda: pool.fetchval("SELECT count(*) FROM user_erasures"))
        assert not erasing.done()
        await transaction.commit()
        answer = (await erasing).json()
    await writer.close()
    assert (answer["events"], answer["queued"]) == (1, 1)
    assert await pool.fetchval("SELECT count(*) FROM events") == len(AWKWARD) - 1


async def test_each_batch_of_an_import_is_received_later_than_the_one_before(pool: "Pool") -> None:
    """The learner goes by that: a log in the order of its users teaches nothing of what others did before."""
    times = iter(range(NOW_MS, NOW_MS + 10))
    writer = Writer(now_ms=lambda: next(times))
    async with pool.acquire() as connection:
        for user in ("ann", "bob", "eve"):
            assert (await writer.write(connection, writer.prepare([(f"event-{user}", row(user))]))).accepted
    found = await pool.fetch("SELECT (payload ->> 'received_ms')::bigint AS at FROM events ORDER BY event_id")
    received = [one["at"] for one in found]
    assert sorted(set(received)) == received


def prepared(writer: Writer) -> PreparedBatch:
    return writer.prepare([(record.event_id, row(record.user_id)) for record in records()])


@pytest.mark.parametrize("all_new", [True, False], ids=["added", "inserted"])
@pytest.mark.parametrize("blocked", ["before it reads", "while it writes"])
async def test_user_who_is_erased_while_rows_of_before_are_imported_stays_erased(
    opened: Database, database_url: str, pool: "Pool", all_new: bool, blocked: str
) -> None:
    batch = Writer(now_ms=lambda: NOW_MS)
    async with pool.acquire() as connection:
        if all_new:
            await batch.write(connection, batch.prepare([("event-0000", row("zoe"))]))  # what follows is new, too
        held = await asyncpg.connect(database_url)
        transaction = held.transaction()
        await transaction.start()
        if blocked == "before it reads":
            await held.execute("LOCK TABLE events IN SHARE MODE")
        else:
            await insert_events(held, records()[-1:])
        writing = asyncio.create_task(batch.write(connection, prepared(batch)))
        await until(lambda: pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        async with opened.connection() as other:
            begun = await erasures.begin(other, "plain")
        finishing = asyncio.create_task(erasures.finish(opened, begun.erasures))
        if blocked == "while it writes":
            await until(lambda: waits_for_writers(pool))
        await transaction.rollback()
        await held.close()
        written = await writing
        removed = await finishing
    assert (written.erased, removed.events) == ((1, 0) if blocked == "before it reads" else (0, 1))
    assert sorted(await pool.fetchval("SELECT array_agg(user_id) FROM events WHERE user_id <> 'zoe'")) == sorted(
        set(AWKWARD) - {"plain"}
    )
    assert not await pool.fetchval("SELECT count(*) FROM event_outbox WHERE message_key = 'plain'")


async def waits_for_writers(pool: "Pool") -> bool:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%virtualxid%' AND pid <> pg_backend_pid()"
    return bool(await pool.fetchval(asked))


async def test_an_import_waits_for_no_event_that_was_erased_meanwhile(
    settings: Settings, database_url: str, pool: "Pool"
) -> None:
    sample = IdSample()
    sample.add([record.event_id for record in records()])
    async with pool.acquire() as connection, connection.transaction():
        await add_events(connection, event_columns(records()))
    await pool.execute(
        "INSERT INTO feature_event_consumed (event_id) SELECT event_id FROM events WHERE user_id <> 'plain'"
    )
    left: list[int] = []
    async with database(database_url) as opened:
        assert not await wait_for_consumer(opened, sample, report=left.append, still_sec=0.0)
        async with serving(settings) as client:
            assert (await client.delete("/users/plain")).json()["events"] == 1
        assert await wait_for_consumer(opened, sample, report=left.append, still_sec=0.0)
    assert left[0] == 1
    assert left[-1] == 0


def test_rows_of_before_the_erasure_of_their_user_stay_erased(database_url: str, tmp_path: Path) -> None:
    """In a new file, and when the file is imported again; what the user did since is imported."""
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "ann,i1,1700000000,view,t\nbob,i1,1700000000,view,t\n")
    assert run(database_url, log, "--no-wait")[0] == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM events WHERE user_id = 'ann'")
        connection.execute("INSERT INTO user_erasures (user_id, erased_at) VALUES ('ann', to_timestamp(1700000500))")
    log.write_text(log.read_text() + "ann,i2,1700000500,view,t\nann,i3,1700000501,view,t\n")
    code, screen = run(database_url, log, "--no-wait")
    assert code == 0
    assert re.search(r"imported +1\b", screen), screen
    assert re.search(r"duplicates +1\b", screen), screen
    assert re.search(r"erased +2 +of before the erasure of their users, left out", screen), screen
    assert ask(database_url, "SELECT array_agg(payload ->> 'item_id') FROM events WHERE user_id = 'ann'") == ["i3"]
