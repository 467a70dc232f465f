"""The feed of changes across an outage of Postgres, after which another server may be there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.adapters import changes
from app.adapters.postgres import Database
from app.errors import Interrupted
from app.serving.change_feed import ChangeFeed
from tests.support.pipeline import database, running


async def test_after_an_outage_everything_is_outdated_and_ids_may_begin_anew(
    pool: asyncpg.Pool, database_url: str
) -> None:
    heard: asyncio.Queue[list[str] | None] = asyncio.Queue()
    async with database(database_url) as opened:
        feed = ChangeFeed(opened, lambda item_ids: heard.put_nowait(list(item_ids)), lambda: heard.put_nowait(None))
        await pool.execute("SELECT setval('feature_changes_id_seq', 50000)")
        async with running(feed):
            async with pool.acquire() as connection:
                await changes.record_items(connection, ["before"])
            assert await asyncio.wait_for(heard.get(), 20) == ["before"]
            # What a restored backup does: rows are gone, and the sequence is back where it was.
            await pool.execute("TRUNCATE feature_changes")
            await pool.execute("SELECT setval('feature_changes_id_seq', 100)")
            # More than the thousand that are read again.
            async with pool.acquire() as connection:
                await changes.record_erasure(connection, "ann")
            await pool.execute("SELECT setval('feature_changes_id_seq', 2000)")
            await pool.execute("INSERT INTO feature_changes (item_ids) VALUES ('{between}')")
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'test' AND datname = current_database()"
            )
            assert await asyncio.wait_for(heard.get(), 20) is None
            assert changes.erased_user(await asyncio.wait_for(heard.get(), 20) or []) == "ann"
            assert await asyncio.wait_for(heard.get(), 20) == ["between"]
            async with pool.acquire() as connection:
                await changes.record_items(connection, ["after"])
            assert await asyncio.wait_for(heard.get(), 20) == ["after"]
            # Reads go to another server.
            opened.source += 1
            assert await asyncio.wait_for(heard.get(), 20) is None


class _Interrupting:
    """A standby that ends reads when it is told to, for what it replays."""

    def __init__(self, opened: Database) -> None:
        self._opened = opened
        self.source = 0
        self.interrupts = asyncio.Event()
        self.ended = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._opened.connection() as connection:
            if self.interrupts.is_set():
                self.interrupts.clear()
                self.ended += 1
                raise Interrupted("postgres", "canceling statement due to conflict with recovery")
            yield connection


async def test_read_that_a_standby_ends_outdates_nothing(pool: asyncpg.Pool, database_url: str) -> None:
    heard: asyncio.Queue[list[str] | None] = asyncio.Queue()
    async with database(database_url) as opened:
        source = _Interrupting(opened)
        feed = ChangeFeed(source, lambda item_ids: heard.put_nowait(list(item_ids)), lambda: heard.put_nowait(None))
        async with running(feed):
            for name in ("before", "after"):
                async with pool.acquire() as connection:
                    await changes.record_items(connection, [name])
                assert await asyncio.wait_for(heard.get(), 20) == [name]
                source.interrupts.set()
                while source.interrupts.is_set():
                    await asyncio.sleep(0.01)
            assert source.ended == 2


async def test_all_is_outdated_where_changes_may_have_been_pruned_between_two_reads(
    pool: asyncpg.Pool, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[list[str] | None] = []
    feed = ChangeFeed(opened, lambda item_ids: heard.append(list(item_ids)), lambda: heard.append(None))
    read, ahead_sec = changes.read, 0.0

    async def read_ahead(*arguments: Any) -> Any:
        at_sec, rows = await read(*arguments)
        return at_sec + ahead_sec, rows

    monkeypatch.setattr(changes, "read", read_ahead)
    await feed._read()
    ahead_sec = 160.0
    await feed._read()
    assert heard == []

    await pool.execute("INSERT INTO feature_changes (item_ids, changed_at) VALUES ('{a}', now() - interval '6 min')")
    async with pool.acquire() as connection:
        await changes.prune(connection)
        await changes.record_erasure(connection, "ann")
    ahead_sec += 180.0
    await feed._read()
    await feed._read()
    assert heard[0] is None
    assert changes.erased_user(heard[1] or []) == "ann"
    await feed._read()
    assert heard.count(None) == 1
