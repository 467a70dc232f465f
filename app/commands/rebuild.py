"""`reco rebuild`: makes the stored sums anew, beside those that serve, and swaps the two."""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct, structs
from rich.console import Console

from app.adapters import building, generations, rebuild_locks
from app.commands.json_output import json_option, write_json
from app.commands.operator_name import operator
from app.core.event_types import EventTypes
from app.errors import DependencyDown, UserError
from app.importing.database import prepare
from app.importing.inputs import files_argument, found_files
from app.importing.mapping import ImportOptions
from app.importing.options import column_options
from app.importing.reader import detect
from app.rebuilding import slices
from app.rebuilding.gaps import (
    expired_since,
    refuse_dependents,
    refuse_expired,
    refuse_gaps,
    refuse_mostly_rejected,
    refuse_published,
)
from app.rebuilding.local_log import LOCAL, LocalLog
from app.rebuilding.processes import POLL_SEC
from app.rebuilding.rebuild import Log, Rebuild, types_of_files
from app.rebuilding.screen import RebuildScreen
from app.rebuilding.spark.session import SPARK, SparkOptions
from app.rebuilding.swap import swap
from app.settings import Settings

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
# The users are shared out when a rebuild begins, and stay so.
_MOST_PROCESSES: Final = 8
_PATIENCE_SEC: Final = 5.0
_WORK: Final = "reco-rebuild"


class Rebuilt(Struct, frozen=True):
    """How many events were folded, the rows of files that are none, and what expired during an interruption.

    `is_tidy`: the former tables are dropped. `left`: the folder of Spark's work, if it could not be removed.
    """

    events: int
    is_tidy: bool
    rejected: building.RejectedRows
    expired: str | None
    left: str | None


@click.command()
@files_argument(required=False)
@column_options
@click.option(
    "--engine",
    type=click.Choice([LOCAL, SPARK]),
    default=LOCAL,
    show_default=True,
    help="What folds the files: processes of this machine, or Spark (Parquet and JSON lines; needs the extra spark).",
)
@click.option("--master", metavar="URL", help="Spark's master: spark://host:7077, yarn, k8s://...  [default: local[*]]")
@click.option(
    "--work", metavar="FOLDER", help=f"Where Spark puts what it makes, until it is loaded.  [default: {_WORK}]"
)
@click.option("--conf", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of Spark. Repeatable.")
@click.option("--drop", is_flag=True, help="Give up an unfinished rebuild and remove what it has made.")
@click.option(
    "--yes",
    is_flag=True,
    help="Go on and swap even if the new sums hold fewer events than those that serve, events expired during an "
    "interruption, or most rows of the files are no events.",
)
@click.option(
    "--despite-publication", is_flag=True, help="Begin although a publication has the tables: no replica follows it."
)
@json_option
def rebuild(
    files: tuple[str, ...],
    options: ImportOptions,
    engine: str,
    master: str | None,
    work: str | None,
    settings: tuple[str, ...],
    drop: bool,
    yes: bool,
    despite_publication: bool,
    as_json: bool,
) -> None:
    """Make the features anew from the stored events, with the parameters of this release, and serve them.

    The present features serve and count meanwhile, and are swapped in one transaction at the end. FILES are logs as
    `reco import` reads them, oldest first, for events that are no longer stored. After an interruption run it again:
    it goes on where it stopped. Run it as the owner of the tables. The database is that of DATABASE_URL.
    """
    on_spark = _spark_options(engine, files, master, work, settings)
    own = Settings.from_env({**os.environ, "ROLE": "api"})
    console = Console(stderr=True)
    prepare(own.session_url)
    # What the process imports that those of the slices are forked from.
    multiprocessing.set_forkserver_preload([slices.__name__])
    started = time.monotonic()
    try:
        if drop:
            asyncio.run(_drop(own.session_url))
            console.print("No rebuild is unfinished now.")
            return
        with RebuildScreen(console) as screen:
            opened = partial(_log, files, options, on_spark)
            made = asyncio.run(_rebuild(own, opened, screen, yes=yes, despite_publication=despite_publication))
    except DependencyDown as error:
        raise UserError(f"{error}. Run the same command again: it goes on where it stopped.") from error
    except KeyboardInterrupt:
        console.print("Interrupted. Run the same command again: it goes on where it stopped.")
        sys.exit(_INTERRUPTED)
    seconds = time.monotonic() - started
    if as_json:
        write_json({"events": made.events, "rejected_rows": made.rejected.count, "seconds": round(seconds, 3)})
    console.print(f"The new generation serves: {made.events:,} events in {seconds:.0f} s.", highlight=False)
    if not made.is_tidy:
        console.print(
            "The former tables may still be on the disk, in the schema reco_retired. `reco rebuild --drop` drops them.",
            highlight=False,
            soft_wrap=True,
        )
    if made.expired:
        console.print(f"{made.expired}.", highlight=False, markup=False, soft_wrap=True)
    if made.rejected.count:
        console.print(
            f"Rows of the files that are no events, and were left out: {made.rejected.count:,}. One of them: "
            f"{made.rejected.first}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if made.left:
        console.print(
            f"The folder {made.left} could not be removed, and holds histories of users. Remove it.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _spark_options(
    engine: str, files: tuple[str, ...], master: str | None, work: str | None, settings: tuple[str, ...]
) -> SparkOptions | None:
    """None for the local engine."""
    if engine == LOCAL:
        if master or work or settings:
            raise UserError("--master, --work and --conf are for Spark: say --engine spark")
        return None
    if not files:
        raise UserError("--engine spark folds files: name some. Without files, stored events need no Spark")
    named = dict(_setting(text) for text in settings)
    return SparkOptions(master=master or "local[*]", work=work or _WORK, settings=named)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UserError(f"--conf {text} is not of the form NAME=VALUE")
    return name, value


@asynccontextmanager
async def _log(
    files: tuple[str, ...], options: ImportOptions, on_spark: SparkOptions | None, known: EventTypes
) -> AsyncIterator[Log]:
    latest_ms = time.time_ns() // 1_000_000
    options = structs.replace(options, known=known)
    if on_spark is not None:
        from app.rebuilding.spark.log import opened

        async with opened(files, options, on_spark, latest_ms=latest_ms) as log:
            yield log
    else:
        with found_files(files) as paths:
            logs = [slices.LogFile(path, detect(path, options)) for path in paths]
            yield LocalLog(logs, latest_ms, options)


async def _rebuild(
    settings: Settings,
    opened: Callable[[EventTypes], AbstractAsyncContextManager[Log]],
    screen: RebuildScreen,
    *,
    yes: bool,
    despite_publication: bool,
) -> Rebuilt:
    url = settings.session_url
    async with building.connection(url) as live:
        await _begin_alone(live)
        async with opened(await types_of_files(live)) as log:
            made = Rebuild(url, live, log=log, dedupe_days=settings.retention_dedupe_days)
            async with live.transaction():
                await refuse_dependents(live)
            if await generations.building(live) is None:
                if not despite_publication:
                    await refuse_published(live)
                if not yes:
                    await refuse_gaps(live, log, screen)
            goes_on = await made.begin(slices=min(os.cpu_count() or 1, _MOST_PROCESSES))
            expired = await _expired(settings, live, yes=yes) if goes_on else None
            left = await made.run(screen)
        async with building.connection(url, building=True) as built:
            parts = await building.slices(built)
            rejected = building.RejectedRows(parts[0].rejected, parts[0].first_rejected)
            if not yes:
                refuse_mostly_rejected(parts[0])
            swapped = await swap(made, built, screen, fewer_are_fine=yes, actor=f"reco rebuild, {operator()}")
    events = sum(part.events for part in parts) + swapped.events
    return Rebuilt(events, swapped.is_tidy, rejected, expired, left)


async def _expired(settings: Settings, live: "Connection", *, yes: bool) -> str | None:
    found = await expired_since(
        live, events_days=settings.retention_events_days, dedupe_days=settings.retention_dedupe_days
    )
    if found is not None and not yes:
        refuse_expired(found)
    return found


async def _drop(url: str) -> None:
    async with building.connection(url) as live:
        await _begin_alone(live)
        async with live.transaction():
            await generations.drop_building(live)
            await building.drop(live)


async def _begin_alone(live: "Connection") -> None:
    # Maintenance holds the same lock, for less than a second, while it removes items that are gone.
    ends = time.monotonic() + _PATIENCE_SEC
    while not (is_alone := await rebuild_locks.try_alone(live)) and time.monotonic() < ends:
        await asyncio.sleep(POLL_SEC)
    if not is_alone:
        raise UserError("Another `reco rebuild` runs on this database; application_name in pg_stat_activity names it")
    await generations.begin_first(live)
