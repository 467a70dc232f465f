"""`reco import`: histories people already have."""

import asyncio
import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from app.adapters.postgres import Database
from app.core.events import MAX_AHEAD_MS
from app.errors import UserError
from app.importing.backlog import wait_for_consumer, wait_for_relay
from app.importing.mapping import Wishes
from app.importing.options import column_options
from app.importing.reader import Source, detect
from app.importing.rejects import RejectFile
from app.importing.screen import Screen, describe_columns
from app.importing.transfer import Tally, open_database, patiently, prepare, transfer
from app.settings import Settings

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@column_options
@click.option(
    "--rejected", type=click.Path(dir_okay=False, path_type=Path), help="Where bad lines go [FILE.rejected.jsonl]."
)
@click.option("--strict", is_flag=True, help="Exit code 1 when lines were rejected.")
@click.option(
    "--max-queued",
    type=click.IntRange(min=1_000),
    default=50_000,
    show_default=True,
    help="Pause while about this many events wait for a relay.",
)
@click.option(
    "--no-wait", is_flag=True, help="Do not pause, and do not wait for the relay and the consumer at the end."
)
def import_(file: Path, wishes: Wishes, rejected: Path | None, strict: bool, max_queued: int, no_wait: bool) -> None:
    """Import a log of events: CSV or JSON lines, gzipped or not.

    Events go the way of live ones, and old times are allowed. Run it again after an interruption: what is stored is
    passed over. Rows that are no events go to FILE.rejected.jsonl. The database is that of DATABASE_URL.
    """
    console = Console(stderr=True)
    source = detect(file, wishes)
    database_url = Settings.from_env({**os.environ, "ROLE": "api"}).database_url
    if rejected is not None and rejected.resolve() == file.resolve():
        raise UserError(f"--rejected {rejected}: that is the file to import")
    rejects = rejected or file.with_name(file.name + ".rejected.jsonl")
    console.print(describe_columns(source.columns), style="dim", highlight=False, soft_wrap=True)
    prepare(database_url)
    tally = Tally()
    with RejectFile(rejects) as reject_file, Screen(console, file, reject_file) as screen:
        try:
            notice = asyncio.run(_run(file, source, database_url, tally, screen, None if no_wait else max_queued))
            code = 1 if strict and tally.rejected else 0
        except KeyboardInterrupt:
            notice, code = "Interrupted. Run the same command again: it goes on where it stopped.", _INTERRUPTED
        finally:
            screen.close()
            console.print(screen.summary(tally))
    if notice:
        console.print(notice, highlight=False, soft_wrap=True)
    sys.exit(code)


async def _run(
    file: Path, source: Source, database_url: str, tally: Tally, screen: Screen, max_queued: int | None
) -> str:
    """Imports and waits; returns what there is to say at the end."""
    now_ms = time.time_ns() // 1_000_000
    database = open_database(database_url)
    try:
        await transfer(
            file, source, database, tally, screen, now_ms=now_ms, latest_ms=now_ms + MAX_AHEAD_MS, max_queued=max_queued
        )
        return await _settle(database, tally, screen) if max_queued else ""
    finally:
        await database.close(timeout_sec=1.0)


async def _settle(database: Database, tally: Tally, screen: Screen) -> str:
    if not tally.imported:
        return ""
    bar = screen.waiting("Publishing")
    if not await patiently(database, lambda: wait_for_relay(database, down_to=0, report=bar)):
        return (
            "The events wait in the outbox, and nothing takes them: start the roles relay and consumer (`reco serve`)."
        )
    bar = screen.waiting("Counting")
    if not await patiently(database, lambda: wait_for_consumer(database, tally.sample, report=bar)):
        return "The events are published, and nothing counts them: start the role consumer (`reco serve`)."
    return "All of it counts in the recommendations now."
