"""What wakes the relay, and the files of its database URL."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asyncpg import Pool

from app.adapters import outbox
from app.errors import DependencyDown
from app.supervisor import Progress
from tests.support.pipeline import database, until
from workers import wake
from workers.wake import OutboxWake

END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'"


async def test_file_that_is_away_for_a_while_ends_nothing(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As certificates and passwords are while somebody replaces them."""
    monkeypatch.setattr(wake, "_CHECK_SEC", 0.05)
    monkeypatch.setattr(wake, "_RECONNECT_SEC", 0.05)
    url, passwords = urlsplit(database_url), tmp_path / "passwords"
    passwords.touch(mode=0o600)
    passwords.write_text(f"*:*:*:*:{url.password}\n")
    place = f"{url.username}@{url.hostname}:{url.port}"
    async with database(url._replace(netloc=place, query=f"passfile={passwords}").geturl()) as opened:
        refused: list[str] = []
        listen = opened.listen

        async def listening() -> Any:
            try:
                return await listen()
            except DependencyDown as error:
                refused.append(error.reason)
                raise

        monkeypatch.setattr(opened, "listen", listening)
        waking = OutboxWake(opened)
        task = asyncio.create_task(waking.listen())
        await waking.wait(20.0, Progress())
        passwords.rename(tmp_path / "old")
        await pool.execute(END_SESSIONS)

        async def tried_again() -> bool:
            return task.done() or len(refused) > 1

        await until(tried_again)
        assert not task.done()
        assert "passfile of the database URL" in refused[0]
        (tmp_path / "old").rename(passwords)
        await waking.wait(20.0, Progress())  # it listens again
        waiting = asyncio.create_task(waking.wait(60.0, Progress()))
        async with pool.acquire() as connection:
            await outbox.notify(connection)
        async with asyncio.timeout(20.0):
            await waiting
        task.cancel()
        await asyncio.wait([task])
