"""The API of a process in the test's own event loop: the real server on a real port, over the test's database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec

from app.http.listener import bind
from app.settings import Settings
from app.wiring import Service


@asynccontextmanager
async def serving(settings: Settings, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with `ROLE=api`; `changes` replace settings."""
    settings = msgspec.structs.replace(settings, role=frozenset({"api"}), **changes)
    with bind("127.0.0.1", 0, reuse_port=False) as listener:
        port = listener.getsockname()[1]
        service = Service(settings, listener)
        service.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, verify=False) as client:
                async with asyncio.timeout(20):
                    while not service.report().ready or (await client.get("/readyz")).status_code != 200:
                        await asyncio.sleep(0.01)
                yield client
        finally:
            assert await service.drain()


def watch(**changes: Any) -> dict[str, Any]:
    """A valid body of `/log/watch`; a value of None leaves the field out."""
    event = {"user_id": "ann", "session_id": "s1", "item_id": "alien", "watch_time_sec": 60.5, **changes}
    return {name: value for name, value in event.items() if value is not None}


async def stored(pool: asyncpg.Pool) -> tuple[int, int]:
    """Rows of `events` and of `event_outbox`."""
    return tuple(await pool.fetchrow("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM event_outbox)"))


def fault_paths(answer: httpx.Response) -> list[str]:
    """Of a refusal."""
    assert answer.status_code == 422, answer.text
    return [error["path"] for error in answer.json()["errors"]]
