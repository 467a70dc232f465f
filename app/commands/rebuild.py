"""`reco rebuild`: makes the stored sums anew, beside those that serve, and swaps the two."""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from app.adapters import building, counted_events, generations
from app.commands.dead_rows import operator
from app.commands.json_output import json_option, write_json
from app.errors import DependencyDown, UserError
from app.importing.inputs import files_argument, found_files
from app.importing.mapping import ImportOptions
from app.importing.options import column_options
from app.importing.reader import detect
from app.importing.transfer import prepare
from app.rebuilding.rebuild import Rebuild
from app.rebuilding.screen import RebuildScreen
from app.rebuilding.slices import LogFile
from app.rebuilding.swap import swap
from app.settings import Settings

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
# The users are shared out when a rebuild begins, and stay so.
_MOST_PROCESSES: Final = 8


@click.command()
@files_argument(required=False)
@column_options
@click.option("--drop", is_flag=True, help="Give up an unfinished rebuild and remove what it has made.")
@click.option("--yes", is_flag=True, help="Swap even if the new sums hold fewer events than those that serve.")
@json_option
def rebuild(files: tuple[str, ...], options: ImportOptions, drop: bool, yes: bool, as_json: bool) -> None:
    """Make the features anew from the stored events, with the parameters of this release, and serve them.

    The present features serve and count meanwhile, and are swapped in one transaction at the end. FILES are logs as
    `reco import` reads them, oldest first, for events that are no longer stored. After an interruption run it again:
    it goes on where it stopped. Run it as the owner of the tables. The database is that of DATABASE_URL.
    """
    settings = Settings.from_env({**os.environ, "ROLE": "api"})
    console = Console(stderr=True)
    prepare(settings.session_url)
    started = time.monotonic()
    try:
        if drop:
            asyncio.run(_drop(settings.session_url))
            console.print("No rebuild is unfinished now.")
            return
        with found_files(files) as paths, RebuildScreen(console) as screen:
            log = [LogFile(path, detect(path, options)) for path in paths]
            events = asyncio.run(_rebuild(settings, log, screen, yes=yes))
    except DependencyDown as error:
        raise UserError(f"{error}. Run the same command again: it goes on where it stopped.") from error
    except KeyboardInterrupt:
        console.print("Interrupted. Run the same command again: it goes on where it stopped.")
        sys.exit(_INTERRUPTED)
    seconds = time.monotonic() - started
    if as_json:
        write_json({"events": events, "seconds": round(seconds, 3)})
    console.print(f"The new generation serves: {events:,} events in {seconds:.0f} s.", highlight=False)


async def _rebuild(settings: Settings, log: list[LogFile], screen: RebuildScreen, *, yes: bool) -> int:
    """Returns how many events were folded."""
    url = settings.session_url
    async with building.connection(url) as live:
        await _begin_alone(live)
        made = Rebuild(url, live, files=log, dedupe_days=settings.retention_dedupe_days)
        if await generations.building(live) is None and not (yes or log):
            await _refuse_gaps(live)
        await made.begin(slices=min(os.cpu_count() or 1, _MOST_PROCESSES))
        await made.run(screen)
        async with building.connection(url, building=True) as built:
            events = sum(part.events for part in await building.slices(built))
            events += await swap(made, built, screen, fewer_are_fine=yes, actor=f"reco rebuild, {operator()}")
    return events


async def _drop(url: str) -> None:
    async with building.connection(url) as live:
        await _begin_alone(live)
        async with live.transaction():
            await generations.drop_building(live)
            await building.drop(live)


async def _begin_alone(live: "Connection") -> None:
    if not await building.try_alone(live):
        raise UserError("Another `reco rebuild` runs on this database; application_name in pg_stat_activity names it")
    await generations.begin_first(live)


async def _refuse_gaps(live: "Connection") -> None:
    """Before the work, and not only when all of it is done."""
    counted, stored = await building.counted(live), await counted_events.stored(live)
    if counted > stored:
        raise UserError(
            f"{counted:,} events were counted, and {stored:,} are stored: the others are older than "
            "RETENTION_EVENTS_DAYS, or their users were erased. Give files that hold them, or accept with --yes that "
            "what they have counted is lost. Impressions are not compared"
        )
