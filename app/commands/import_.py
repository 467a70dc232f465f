"""`reco import`: loads existing logs and catalogues."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import structs
from rich.console import Console

from app import interpreter
from app.adapters.postgres import Database
from app.clock import clock
from app.commands.json_output import json_option, write_json
from app.core.attributes import TYPES
from app.core.event_times import MAX_AHEAD_MS
from app.errors import UserError
from app.importing.attributes import wanted_attribute
from app.importing.backlog import wait_for_consumer, wait_for_relay
from app.importing.counts import Counts, ImportCounts
from app.importing.database import open_database, patiently, prepare, types_in_use
from app.importing.inputs import files_argument, found_files, rejects_beside
from app.importing.items import ItemColumns
from app.importing.mapping import Columns, ImportOptions
from app.importing.options import column_options, refuse_options
from app.importing.reader import FileLayout, detect, detect_items
from app.importing.rejects import RejectFile
from app.importing.screen import ImportScreen, describe
from app.importing.transfer import transfer
from app.settings import Settings

if TYPE_CHECKING:
    from app.importing.item_transfer import ItemImportCounts

_INTERRUPTED = 130  # 128 + SIGINT, as shells say it
_OF_EVENTS: Final = ("types", "event_type", "max_queued", "no_wait")


@click.command()
@files_argument(required=True)
@click.option("--items", is_flag=True, help="The file is a catalogue: each row is an item.")
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME[:TYPE][=COLUMN]",
    help=f"With --items: an attribute of the items, and the column with its values. TYPE is one of {', '.join(TYPES)}; "
    "guessed if not given. '*': all columns that no field takes. Repeatable.",
)
@column_options
@click.option(
    "--rejected", type=click.Path(dir_okay=False, path_type=Path), help="File for rejected lines [FILE.rejected.jsonl]."
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
@json_option
def import_(
    files: tuple[str, ...],
    items: bool,
    attributes: tuple[str, ...],
    options: ImportOptions,
    rejected: Path | None,
    strict: bool,
    max_queued: int,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Import logs of events, or with --items catalogues.

    FILE is CSV or other delimited text, JSON lines or arrays, Parquet, Arrow or Excel, plain or packed as gz, zst, bz2,
    xz, zip or tar; a folder or a glob of such files; a.zip/ratings.csv for one file of an archive; or - for stdin.

    Events are stored as live ones are; old times are allowed. After an interruption run it again: stored events are
    skipped. Invalid rows go to FILE.rejected.jsonl; for several files and for stdin, it is in this folder.

    The fields of an item are item_id, title, categories, tags (lists, or names with | between them), published_at,
    expires_at and hidden, and the attributes of --attribute. A field without a column keeps its stored value.
    """
    console = Console(stderr=True)
    if items:
        refuse_options(click.get_current_context(), _OF_EVENTS, "for events only, not with --items")
        options = structs.replace(options, attributes=tuple(map(wanted_attribute, attributes)))
    elif attributes:
        raise click.UsageError("--attribute: for catalogues only, with --items")
    database_url = Settings.from_env({**os.environ, "ROLE": "api"}).session_url
    with found_files(files) as paths:
        if rejected is not None and rejected.resolve() in [path.resolve() for path in paths]:
            raise UserError(f"--rejected {rejected}: that is the file to import")
        counts: Counts
        run: Callable[[ImportScreen], Coroutine[None, None, str]]
        if items:
            catalogues = [(path, detect_items(path, options)) for path in paths]
            columns = [describe(layout) for _, layout in catalogues]
            from app.importing.item_transfer import ItemImportCounts  # a catalogue's filters: a second to import

            counts = item_counts = ItemImportCounts()
            run = partial(_run_items, catalogues, database_url, item_counts)
            prepare(database_url)
        else:
            prepare(database_url)
            options = structs.replace(options, known=asyncio.run(types_in_use(database_url)))
            logs = [(path, detect(path, options)) for path in paths]
            columns = [describe(layout, layout.columns.event_type) for _, layout in logs]
            counts = event_counts = ImportCounts()
            run = partial(_run, logs, database_url, event_counts, None if no_wait else max_queued)
        for line in dict.fromkeys(columns):
            console.print(line, style="dim", highlight=False, soft_wrap=True)
        interpreter.tune()
        rejects = RejectFile(rejected or rejects_beside(paths))
        with rejects, ImportScreen(console, paths, rejects) as screen:
            try:
                notice = asyncio.run(run(screen))
                code = 1 if not counts.read or counts.mostly_rejected() or (strict and counts.rejected) else 0
            except KeyboardInterrupt:
                notice, code = "Interrupted. Run the same command again: it continues where it stopped.", _INTERRUPTED
            finally:
                screen.close()
                console.print(screen.summary(counts))
    if as_json:
        write_json(screen.report(counts))
    for words in (_remark(counts), counts.notice(), notice):
        if words:
            console.print(words, highlight=False, soft_wrap=True)
    sys.exit(code)


def _remark(counts: Counts) -> str:
    if not counts.read:
        return "No row was taken: the file has none, or --where and the event types leave all of them out."
    if counts.mostly_rejected():
        return "More than half of the rows were rejected. Correct the options or the file, then run it again."
    return ""


async def _run(
    logs: Sequence[tuple[Path, FileLayout[Columns]]],
    database_url: str,
    counts: ImportCounts,
    max_queued: int | None,
    screen: ImportScreen,
) -> str:
    """Imports and waits; returns the closing message."""
    database = open_database(database_url)
    try:
        for path, source in logs:
            screen.begin(path)
            await transfer(
                path,
                source,
                database,
                counts,
                screen,
                now_ms=clock.host_ms,
                latest_ms=clock.host_ms() + MAX_AHEAD_MS,
                max_queued=max_queued,
            )
        return await _settle(database, counts, screen) if max_queued else ""
    finally:
        await database.close(timeout_sec=1.0)


async def _settle(database: Database, counts: ImportCounts, screen: ImportScreen) -> str:
    if not counts.imported:
        return ""
    bar = screen.waiting("Publishing")
    if not await patiently(database, lambda: wait_for_relay(database, down_to=0, report=bar)):
        return "The events wait in the outbox, and no relay publishes them: start relay and consumer (`reco serve`)."
    bar = screen.waiting("Counting")
    if not await patiently(database, lambda: wait_for_consumer(database, counts.sample, report=bar)):
        return "The events are published, and no consumer counts them: start the role consumer (`reco serve`)."
    return "All events are counted in the recommendations now."


async def _run_items(
    catalogues: Sequence[tuple[Path, FileLayout[ItemColumns]]],
    database_url: str,
    counts: "ItemImportCounts",
    screen: ImportScreen,
) -> str:
    """Imports a catalogue, which needs no wait and no closing message."""
    from app.importing.item_transfer import declared, transfer_items

    database = open_database(database_url)
    try:
        for path, source in await declared(catalogues, database):
            screen.begin(path)
            await transfer_items(path, source, database, counts, screen)
    finally:
        await database.close(timeout_sec=1.0)
    return ""
