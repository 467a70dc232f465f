"""The feed of changes across an outage of Postgres, after which another server may be there."""

import asyncio

import asyncpg

from app.adapters import changes
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
