"""A process of a rebuild: folds the events of a share of the users, from the files first, then from `events`.

The events of a user follow each other, and pairs lie within a user: so the users are shared out among processes, and
only the sums of items and pairs meet.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from multiprocessing import parent_process
from multiprocessing.connection import Connection as Pipe
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zlib import crc32

from msgspec import Struct

from app.adapters import building, building_histories, counted_events, erasures, pair_blocks
from app.adapters.features import ItemKeys
from app.core.features import Fold, fold
from app.core.messages import ImpressionMessage, Message, decode_message
from app.core.model import Model
from app.core.window_length import LONGEST_SEC, following, shortened
from app.errors import DependencyDown, UserError
from app.importing.mapping import Columns
from app.importing.reader import FileLayout, read_rows
from app.importing.records import RowIds, to_message
from app.importing.rows import BadRow, Row

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

BATCH: Final = 200_000
"""So many events a process folds at once, in some 600 MB of memory. Smaller batches write the same pair more often."""
_RETRIES: Final = 10
_RETRY_SEC: Final = 1.0
# Who failed after that had done something.
_LONG_SEC: Final = 60.0


class LogFile(Struct, frozen=True):
    path: Path
    layout: FileLayout[Columns]


class Job(Struct, frozen=True, kw_only=True):
    """What all slices share, and which one this is: `number` of `of`.

    `model`: what the new generation is counted with. `counted_until`: later ones are folded when all slices are done.
    `erasure`: the number of the last erasure before the rebuild. `dedupe_days`: older events have no dedupe row.
    """

    database_url: str
    number: int
    of: int
    model: Model
    counted_until: datetime
    erasure: int
    dedupe_days: float
    latest_ms: int
    files: Sequence[LogFile] = ()


def fold_files(job: Job, errors: Pipe) -> None:
    """Folds the rows of files that are not stored as events. In a process of its own; an error ends it with 1."""
    _in_process(job, errors, _SliceFold.files)


def fold_events(job: Job, errors: Pipe) -> None:
    """Folds the stored events; after the files of all slices. Otherwise as `fold_files`."""
    _in_process(job, errors, _SliceFold.events)


def add_up_pairs(job: Job, errors: Pipe) -> None:
    """Adds up a share of the pairs; after the events of all slices. Otherwise as `fold_files`."""
    _in_process(job, errors, _SliceFold.pairs)


def _in_process(job: Job, errors: Pipe, work: "Callable[[_SliceFold], Awaitable[None]]") -> None:
    # Ctrl-C reaches all processes of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A fold makes millions of objects and no cycles, and the collector would look at all of them again and again.
    gc.disable()
    try:
        asyncio.run(_until_done(job, work))
    except (UserError, DependencyDown) as error:
        errors.send(str(error))
        sys.exit(1)


def check_parent() -> None:
    """Raises `UserError` in a process whose rebuild has ended: what it would fold is nobody's any more."""
    parent = parent_process()
    if parent is None or not parent.is_alive():
        raise UserError("the rebuild that this process belongs to has ended")


async def _until_done(job: Job, work: "Callable[[_SliceFold], Awaitable[None]]") -> None:
    """Goes on where it was when a lock took long or connections were short. An outage ends the whole rebuild."""
    failures = 0
    while True:
        began = time.monotonic()
        try:
            async with (
                building.connection(job.database_url) as live,
                building.connection(job.database_url, building=True) as built,
            ):
                await work(_SliceFold(job, live, built))
                return
        except building.Overtaken:
            continue  # by a process of a rebuild that was killed: it ends once it notices
        except DependencyDown:
            failures = 1 if time.monotonic() - began > _LONG_SEC else failures + 1
            if failures > _RETRIES:
                raise
            await asyncio.sleep(_RETRY_SEC)


class _SliceFold:
    def __init__(self, job: Job, live: "Connection", built: "Connection") -> None:
        self._job = job
        self._live = live
        self._built = built
        self._keys = ItemKeys()
        self._length_sec = LONGEST_SEC

    async def events(self) -> None:
        job = self._job
        part = await self._part()
        end = job.counted_until + timedelta(microseconds=1)
        while not part.events_done:
            until = await self._window(part.events_until, end)
            payloads = await counted_events.read_received(
                self._live,
                part.events_until,
                until,
                counted_until=job.counted_until,
                number=job.number,
                of=job.of,
                dedupe_days=job.dedupe_days,
            )
            folded = await self._fold([decode_message(payload.encode()) for payload in payloads])
            async with self._built.transaction():
                await self._add(folded)
                await building.advance_events(self._built, part, until=until, done=until == end, events=len(payloads))
            part = await self._part()

    async def files(self) -> None:
        part = await self._part()
        rows = _rows(self._job)
        for _ in islice(rows, part.file_rows):
            pass
        while not part.files_done:
            taken = list(islice(rows, BATCH))
            async with self._built.transaction():
                messages = await self._missing([row for row in taken if not isinstance(row, str)])
                await self._add(await self._fold(messages))
                await building.advance_files(
                    self._built,
                    part,
                    rows=part.file_rows + len(taken),
                    done=len(taken) < BATCH,
                    events=len(messages),
                    rejected=self._rejected([row for row in taken if isinstance(row, str)]),
                )
            part = await self._part()

    async def pairs(self) -> None:
        job = self._job
        for part in range(job.number, pair_blocks.PARTS, job.of):
            check_parent()
            async with self._built.transaction():
                await pair_blocks.add_up(self._built, part)

    async def _missing(self, rows: Sequence[tuple[str, Row]]) -> list[Message]:
        """The rows of this slice that are not stored, each once, and not of before an erasure of their user."""
        job = self._job
        own = {event_id: row for event_id, row in rows if crc32(row.user_id.encode()) % job.of == job.number}
        known = await counted_events.known_ids(self._live, list(own))
        erased = await erasures.last(self._live, {row.user_id for row in own.values()})
        new = await building.take_file_events(self._built, [event_id for event_id in own if event_id not in known])
        return [
            decode_message(to_message(row, event_id, now_ms=job.latest_ms))
            for event_id, row in own.items()
            if event_id in new and ((last := erased.get(row.user_id)) is None or not last.covers(row.ts_ms))
        ]

    def _rejected(self, rows: Sequence[str]) -> building.RejectedRows:
        """All slices read all rows: the first one counts these."""
        return building.RejectedRows(len(rows), rows[0]) if rows and self._job.number == 0 else building.RejectedRows()

    async def _part(self) -> building.SliceProgress:
        check_parent()
        return (await building.slices(self._built))[self._job.number]

    async def _window(self, begin: datetime, end: datetime) -> datetime:
        """Until when there are about as many events as all slices fold at once."""
        wanted = BATCH * self._job.of
        length_sec = min(self._length_sec, (end - begin).total_seconds())
        while True:
            until = begin + timedelta(seconds=length_sec)
            found = await counted_events.count_received(self._live, begin, until)
            shorter = shortened(length_sec, found, wanted)
            if shorter is None:
                self._length_sec = following(length_sec, found, wanted)
                return until
            length_sec = shorter

    async def _fold(self, messages: list[Message]) -> Fold:
        # A user's events after each other: what they share is in the processor's cache then. No sum depends on it.
        messages.sort(key=attrgetter("user_id"))
        users = {message.user_id for message in messages if not isinstance(message, ImpressionMessage)}
        return fold(messages, await building_histories.read(self._built, users), self._job.model)

    async def _add(self, folded: Fold) -> None:
        pairs = folded.pairs.sums()
        keys = await self._keys.of(self._live, {*folded.items, *pairs.ids})
        await pair_blocks.put(self._built, pairs, keys)
        await building.add(self._built, folded, keys, self._job.model, erasure=self._job.erasure)


def _rows(job: Job) -> Iterator[tuple[str, Row] | str]:
    """Each row with its event id; of one that is no event the place and the reason."""
    for file in job.files:
        ids = RowIds()
        for row in read_rows(file.path, file.layout, latest_ms=job.latest_ms):
            if isinstance(row, BadRow):
                yield f"{file.path.name}, line {row.line}: {row.reason}"
            else:
                yield ids.event_id(row), row
