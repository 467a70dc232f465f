"""Makes another generation of the stored sums, while the one that serves goes on counting, and swaps the two.

1. Files (`Log`), and events that were counted until some time, a share of the users a process
   (`app.rebuilding.slices`).
2. What was counted meanwhile, again and again until little is left.
3. The rest and the swap, in one transaction, while nobody counts (`app.rebuilding.swap`).

How far it is commits with what was added, so the next run goes on where this one ended, however that was.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg
import msgspec
from msgspec import Struct, structs

from app.adapters import (
    building,
    building_histories,
    building_schema,
    counted_events,
    event_types,
    features,
    generations,
    postgres,
    rebuild_locks,
)
from app.adapters.features import ItemKeys
from app.core.event_types import EventType, EventTypes
from app.core.features import fold
from app.core.generation import Unsupported, model_of
from app.core.messages import ImpressionMessage, decode_message
from app.core.model import Model
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.rebuilding.local_log import LOCAL
from app.rebuilding.processes import POLL_SEC, Report, Show, in_processes, shown
from app.rebuilding.slices import Job, add_up_pairs, fold_events

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_TRIES: Final = 60
_CATCH_UP_BATCH: Final = 20_000


class Progress(Struct, frozen=True, kw_only=True):
    """What is stored of a rebuild beside the positions of its slices.

    `counted_until`: all events that were counted until then are folded, or will be by the slices. `erasure`: the number
    of the last erasure before the rebuild. `log`: the files, by name and size. `options`: the digest of those that they
    are read by; `types`: what their rows may be. Both are empty without files, and where an earlier release has begun.
    `engine`: what folds them. `pairs_done`: the pairs are added up. `first`: when the first event was received of those
    that were stored when it was begun; None without any, and where an earlier release has begun.
    """

    slices: int
    started: datetime
    counted_until: datetime
    erasure: int
    latest_ms: int
    log: tuple[tuple[str, int], ...] = ()
    options: str = ""
    types: tuple[EventType, ...] = ()
    engine: str = LOCAL
    pairs_done: bool = False
    first: datetime | None = None


class Log(Protocol):
    """Events of files that are no longer stored."""

    @property
    def engine(self) -> str:
        """What folds them. A rebuild goes on with the one that it was begun with."""
        ...

    @property
    def options(self) -> ImportOptions:
        """What the files are read by."""
        ...

    @property
    def tells_ids(self) -> bool:
        """Whether it tells by their ids which events the files hold, of those that may have been taken back."""
        ...

    def contents(self) -> tuple[tuple[str, int], ...]:
        """What is read, by name and size in bytes; empty if nothing is."""
        ...

    async def other_events(self, live: "Connection", wanted: int, show: Show) -> int:
        """How many events of other types than view, click, purchase and watch the files hold that are not stored; it
        looks for no more than `wanted`.
        """
        ...

    async def fold(self, live: "Connection", jobs: Sequence[Job], show: Show) -> None:
        """Adds the events to the new generation, and marks the files of all slices as done. May be called again after
        an interruption.
        """
        ...

    async def tidy_up(self, started: datetime) -> str | None:
        """Removes what `fold` has put beside the database for the rebuild that was begun then, when all of it is
        loaded. Returns the folder if it is left.
        """
        ...


class Rebuild:
    """`run` makes the generation up to the swap; `catch_up` folds what was counted since the last call."""

    def __init__(self, url: str, live: "Connection", *, log: Log, dedupe_days: float) -> None:
        self._url = url
        self._live = live
        self._log = log
        self._dedupe_days = dedupe_days
        self._keys = ItemKeys()

    async def begin(self, *, slices: int) -> bool:
        """Goes on with an unfinished rebuild, or makes the tables of a new one; True if it goes on.

        Raises `UserError` when the unfinished one cannot go on.
        """
        found = await generations.building(self._live)
        if found is not None:
            await self._check()
            return True
        async with self._live.transaction():
            erasure = await building.last_erasure(self._live)
        until = await counted_until(self._live)
        first, _ = await counted_events.span(self._live)
        files = self._log.contents()
        progress = Progress(
            slices=slices,
            started=until,
            counted_until=until,
            erasure=erasure,
            latest_ms=time.time_ns() // 1_000_000,
            log=files,
            options=self._log.options.digest if files else "",
            types=tuple(self._log.options.known.in_use()) if files else (),
            engine=self._log.engine,
            first=first,
        )
        async with self._live.transaction():
            await building.drop(self._live)
            await generations.begin_building(self._live, encode_progress(progress))
            await building.create(self._live, slices, min(first or until, until))
            if self._log.tells_ids:  # otherwise the files may hold the events: cancellations of these count, too
                await counted_events.mark_lone_cancels(self._live)
            # What cannot be copied is told before the work, and not at the swap.
            await building_schema.check_shape(self._live, pairs_indexed=False)
        return False

    def connection(self) -> AbstractAsyncContextManager["Connection"]:
        """Another one to the same database."""
        return building.connection(self._url)

    async def run(self, show: Show) -> str | None:
        """Everything that takes long. May be called again after an interruption.

        Returns the folder that holds what was made of files, if it could not be removed.
        """
        model, progress = await unfinished(self._live)
        if await self._reads_files():
            await self._log.fold(self._live, self._jobs(model, progress), show)
        left = await self._log.tidy_up(progress.started)  # an earlier run may have left it
        if not progress.pairs_done:
            _, total = await counted_events.span(self._live)
            async with shown("Events", self._live, total, show):
                await in_processes(fold_events, self._jobs(model, progress))
            show(Report("Adding up pairs", 0, 0))
            await in_processes(add_up_pairs, self._jobs(model, progress))
            async with building.connection(self._url, building=True) as built, built.transaction():
                await building.index_pairs(built)
                await generations.set_progress(built, encode_progress(structs.replace(progress, pairs_done=True)))
        await building.analyze(self._live)
        return left

    async def catch_up(self, built: "Connection") -> int:
        """Folds what was counted until now; returns how many events that was. `built` may be in a transaction."""
        return await self.fold_counted(built, await counted_until(self._live))

    async def fold_counted(self, built: "Connection", until: datetime) -> int:
        """Folds what was counted until `until`, when nobody may count any more with an earlier stamp."""
        folded = 0
        model, progress = await unfinished(built)
        while progress.counted_until < until:
            reached, payloads = await counted_events.read_counted(built, progress.counted_until, until, _CATCH_UP_BATCH)
            messages = [decode_message(payload.encode()) for payload in payloads]
            users = {message.user_id for message in messages if not isinstance(message, ImpressionMessage)}
            progress = structs.replace(progress, counted_until=reached)
            async with built.transaction():
                made = fold(messages, await building_histories.read(built, users), model)
                # Items have their keys from the transactions that counted them.
                pairs = made.pairs.sums()
                keys = await self._keys.of(self._live, {*made.items, *pairs.ids})
                if pairs:
                    await features.add_to_pairs(built, pairs, keys)
                await building.add(built, made, keys, model, erasure=progress.erasure)
                await generations.set_progress(built, encode_progress(progress))
            folded += len(messages)
        return folded

    async def _check(self) -> None:
        await building.complete(self._live)
        _, progress = await unfinished(self._live)
        async with self._live.transaction():
            await building_schema.check_shape(self._live, pairs_indexed=progress.pairs_done)
        if (progress.engine, progress.log) != (self._log.engine, self._log.contents()):
            names = " ".join(name for name, _ in progress.log) or "no files"
            raise UserError(
                f"The unfinished rebuild was begun with --engine {progress.engine} and {names}. Give the same engine "
                "and files, unchanged and in the same order, or give it up with `reco rebuild --drop`"
            )
        if progress.options and progress.options != self._log.options.digest and await self._reads_files():
            raise UserError(
                "The unfinished rebuild was begun with other options for the columns and types of its files. Give the "
                "same options, or give it up with `reco rebuild --drop`"
            )
        parts = await building.slices(self._live)
        # No slice has folded a stored event: what has expired since the rebuild was begun is not in the sums.
        if self._log.tells_ids and progress.first and all(part.events_until <= progress.first for part in parts):
            await counted_events.mark_lone_cancels(self._live)

    async def _reads_files(self) -> bool:
        """Whether some of the files are still to be read."""
        return bool(self._log.contents()) and not all(part.files_done for part in await building.slices(self._live))

    def _jobs(self, model: Model, progress: Progress) -> list[Job]:
        return [
            Job(
                database_url=self._url,
                number=number,
                of=progress.slices,
                model=model,
                counted_until=progress.counted_until,
                erasure=progress.erasure,
                dedupe_days=self._dedupe_days,
                latest_ms=progress.latest_ms,
            )
            for number in range(progress.slices)
        ]


async def unfinished(connection: "Connection") -> tuple[Model, Progress]:
    """What the unfinished rebuild counts with, and how far it is.

    Raises `UserError` if it has been given up, and if this release cannot honour its parameters.
    """
    found = await generations.building(connection)
    if found is None:
        raise UserError("The rebuild was given up meanwhile, with `reco rebuild --drop`")
    try:
        return model_of(found[1]), decode_progress(found[2])
    except Unsupported as error:
        raise UserError(
            f"A rebuild by another release is unfinished: {error}. Finish it with that release, or give it up with "
            "`reco rebuild --drop`"
        ) from error


async def types_of_files(connection: "Connection") -> EventTypes:
    """What rows of files may be, and how much they count: as when the unfinished rebuild was begun, or as by now."""
    if await generations.building(connection) is not None:
        _, progress = await unfinished(connection)
        if progress.types:
            return EventTypes(progress.types)
    return await event_types.read_types(connection)


async def counted_until(connection: "Connection") -> datetime:
    """A time before which all is committed that was counted. Raises `UserError` if a transaction counts on."""
    for _ in range(_TRIES):
        try:
            async with connection.transaction():
                await rebuild_locks.stop_counting(connection)
                return await postgres.now(connection)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(POLL_SEC)
    raise UserError(
        "A transaction that counts events does not end; look for it in pg_stat_activity, and run the same command again"
    )


def encode_progress(progress: Progress) -> str:
    return msgspec.json.encode(progress).decode()


def decode_progress(stored: str) -> Progress:
    return msgspec.json.decode(stored, type=Progress)
