"""A buffer before a store that the test holds, fails and lets go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from app.adapters.ingest import InsertStatus
from app.core.events import Record
from app.ingest.group_commit import GroupCommit
from app.supervisor import Progress


class Store:
    """Stands for Postgres: holds every statement until `gate` is open and every probe until `probe_gate` is, and
    refuses rows of the user `bad`.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.entered = asyncio.Event()
        self.error: Exception | None = None
        self.probe_gate = asyncio.Event()
        self.probe_gate.set()
        self.probed: list[Record | None] = []
        self.passes_own_probe = False

    async def insert(self, records: Sequence[Record]) -> list[InsertStatus]:
        self.batches.append([record.event_id for record in records])
        self.entered.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if any(record.user_id == "bad" for record in records):
            raise asyncpg.NumericValueOutOfRangeError("bad row")
        return ["accepted"] * len(records)

    async def probe(self, refused: Record | None) -> None:
        self.probed.append(refused)
        await self.probe_gate.wait()
        if self.error is not None and (refused is not None or not self.passes_own_probe):
            raise self.error


def record(event_id: str, user_id: str = "ann") -> Record:
    return Record(event_id, "view", user_id, "s1", None, 0, b"", "{}", "topic")


def group_commit(store: Store, **changes: Any) -> GroupCommit:
    options = {"max_pending": 100, "flush_max": 10, "flushers": 1, "timeout_sec": 20.0, **changes}
    return GroupCommit(store.insert, store.insert, on_stored=lambda: None, probe=store.probe, **options)


@asynccontextmanager
async def running(commit: GroupCommit) -> AsyncIterator[Progress]:
    """One run of it, which ends as it is told to."""
    stop, progress = asyncio.Event(), Progress()
    run = asyncio.create_task(commit.run(stop, progress))
    yield progress
    stop.set()
    await asyncio.wait_for(run, 20)
    assert commit._pending == 0
