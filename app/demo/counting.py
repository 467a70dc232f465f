"""Counts what was loaded before anybody is served, so that the first answer is the same each time."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.adapters import sql
from app.devstack.ports import choose
from app.importing.backlog import IdSample, wait_for_consumer
from app.importing.database import open_database, patiently

_SQL: Final = sql.load(__file__)
# The process has to start, too.
_STILL_FOR_SEC: Final = 60.0
_STOP_SEC: Final = 15.0


def count_queued(database_url: str, environ: Mapping[str, str], log: Path) -> bool:
    """Runs a relay and a consumer until what is in the outbox now is counted; at once when nothing is.

    `environ`: of a whole service. `log`: where the process writes. False: they do not get on.
    """
    return asyncio.run(_count(database_url, environ, log))


async def _count(database_url: str, environ: Mapping[str, str], log: Path) -> bool:
    database = open_database(database_url)
    queued = IdSample()
    try:

        async def read() -> None:
            async with database.connection() as connection:
                queued.add([row["event_id"] for row in await connection.fetch(_SQL["queued"])])

        await patiently(database, read)
        if not queued.ids:
            return True
        with _worker(environ, log):
            return await patiently(
                database,
                lambda: wait_for_consumer(database, queued, report=lambda left: None, still_sec=_STILL_FOR_SEC),
            )
    finally:
        await database.close(timeout_sec=1.0)


@contextmanager
def _worker(environ: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app"],
            # A port of its own: who waits for the service's readiness waits until it answers everything.
            env={**environ, "ROLE": "relay,consumer", "HTTP_PORT": str(choose())},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SEC)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
