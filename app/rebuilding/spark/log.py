"""The Spark engine: Spark folds the files and adds up, and this process loads what it made, a part a transaction."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from app.adapters import building, building_histories, counted_events, pair_blocks, rebuild_locks
from app.adapters.features import ItemKeys
from app.core.features import Fold
from app.core.folded_pairs import FoldedPairs
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.rebuilding.processes import Report, Show, watched
from app.rebuilding.slices import Job
from app.rebuilding.spark import data_sets
from app.rebuilding.spark.data_sets import DataSet, data_set
from app.rebuilding.spark.folding import PAIR_SUMS, decode_item
from app.rebuilding.spark.session import SPARK, SparkOptions, in_spark, session
from app.rebuilding.spark.stages import FOLDED, HISTORIES, ITEMS, MARKS, PAIRS, Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.adapters.postgres import Connection

_POLL_SEC: Final = 1.0
_MARKS: Final = 200_000


@asynccontextmanager
async def opened(
    arguments: Sequence[str], columns: ImportOptions, options: SparkOptions, *, latest_ms: int
) -> AsyncIterator["SparkLog"]:
    """What the arguments name. Raises `UserError` for all that is wrong with them, with Spark and with its master."""
    if "://" not in options.work and not options.is_local:
        raise UserError(
            f"--work {options.work} is a folder of this machine, and the executors of {options.master} are on others: "
            "name a folder that all of them reach, such as --work s3a://bucket/reco or file:///mnt/shared/reco"
        )
    async with session(options) as spark:
        sets = [await in_spark(partial(data_set, spark, name, columns, latest_ms=latest_ms)) for name in arguments]
        yield SparkLog(spark, sets, options.work, latest_ms, columns)


class SparkLog:
    """`work`: the folder that is given for the stages; each rebuild has one of its own in it. `latest_ms`: later rows
    are no events. `options`: what the files are read by.
    """

    engine = SPARK
    tells_ids = False

    def __init__(self, spark: Any, sets: Sequence[DataSet], work: str, latest_ms: int, options: ImportOptions) -> None:
        self._spark = spark
        self._sets = sets
        self._work = work
        self._latest_ms = latest_ms
        self.options = options
        self._keys = ItemKeys()

    def contents(self) -> tuple[tuple[str, int], ...]:
        return tuple((found.argument, found.size) for found in self._sets)

    async def other_events(self, live: "Connection", wanted: int, show: Show) -> int:
        """Counts those that are stored as well: what is missing in spite of that is told before the swap."""
        show(Report("Looking for other types", 0, wanted))
        find = partial(data_sets.other_events, self._sets, wanted, latest_ms=self._latest_ms)
        return await in_spark(find)

    async def fold(self, live: "Connection", jobs: Sequence[Job], show: Show) -> None:
        job = jobs[0]
        work = self._work_of(job.counted_until)
        if await building.loaded_parts(live) and not await in_spark(partial(work.is_done, PAIRS)):
            raise UserError(
                f"What the unfinished rebuild has made is no longer in {work.folder}. Give it up with `reco rebuild "
                "--drop`, and begin again; or give the same --work as before"
            )
        await self._make(live, work, job, show)
        async with building.connection(job.database_url, building=True) as built:
            await self._load(live, built, work, job, show)
            events, taken = await in_spark(work.events), await in_spark(work.taken)
            rejected = building.RejectedRows(*await in_spark(work.rejected))
            async with built.transaction():
                first, *others = await building.slices(built)
                await building.advance_files(
                    built, first, rows=taken + rejected.count, done=True, events=events, rejected=rejected
                )
                for part in others:
                    await building.advance_files(
                        built, part, rows=0, done=True, events=0, rejected=building.RejectedRows()
                    )

    async def tidy_up(self, started: datetime) -> str | None:
        work = self._work_of(started)
        try:
            is_gone = await in_spark(work.remove)
        except UserError:
            is_gone = False
        return None if is_gone else work.folder

    def _work_of(self, started: datetime) -> Work:
        return Work(self._spark, f"{self._work}/{started:%Y%m%dT%H%M%S%f}")

    async def _make(self, live: "Connection", work: Work, job: Job, show: Show) -> None:
        stages: list[tuple[str, str, Callable[[], None]]] = [
            (FOLDED, "Folding", partial(work.fold, self._sets, job.model, latest_ms=job.latest_ms)),
            (ITEMS, "Adding up items", partial(work.add_up_items, job.model)),
            (PAIRS, "Adding up pairs", work.add_up_pairs),
        ]
        for stage, title, make in stages:
            if await in_spark(partial(work.is_done, stage)):
                continue
            if stage == FOLDED:
                await _mark(live, work)
            async with watched(partial(self._watch, live, title, show)):
                await in_spark(make)

    async def _watch(self, live: "Connection", title: str, show: Show) -> None:
        while True:
            # Without its lock, retention deletes events, and the next run would refuse to go on.
            await rebuild_locks.check_alive(live)
            done, total = await in_spark(self._tasks)
            show(Report(title, done, total, unit="tasks"))
            await asyncio.sleep(_POLL_SEC)

    def _tasks(self) -> tuple[int, int]:
        """How many tasks of the stages that Spark runs are done, and how many there are."""
        tracker = self._spark.sparkContext.statusTracker()
        found = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
        stages = [stage for stage in found if stage is not None]
        return sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages)

    async def _load(self, live: "Connection", built: "Connection", work: Work, job: Job, show: Show) -> None:
        loaded = await building.loaded_parts(live)
        found = {stage: await in_spark(partial(work.parts, stage)) for stage in (HISTORIES, ITEMS, PAIRS)}
        parts = [(stage, part) for stage, files in found.items() for part in files]
        for number, (stage, part) in enumerate(parts):
            show(Report("Loading", number, len(parts), unit="parts"))
            name = f"{stage}/{part.rpartition('/')[2]}"
            if name in loaded:
                continue
            table = await in_spark(partial(work.table, part))
            if stage == HISTORIES:
                async with built.transaction():
                    users, encoded = _lists(table, "id", "value")
                    await building_histories.copy(built, users, encoded)
                    await building.add_loaded_part(built, name)
                    await building.forget_erased(built, users, job.erasure)
            elif stage == ITEMS:
                item_ids, values = _lists(table, "id", "value")
                items = dict(zip(item_ids, map(decode_item, values), strict=True))
                keys = await self._keys.of(live, items)
                async with built.transaction():
                    await building.add(built, Fold(items=items), keys, job.model, erasure=job.erasure)
                    await building.add_loaded_part(built, name)
            else:
                pairs = _pairs(table)
                keys = await self._keys.of(live, pairs.ids)
                async with built.transaction():
                    await pair_blocks.put(built, pairs, keys)
                    await building.add_loaded_part(built, name)


async def _mark(live: "Connection", work: Work) -> None:
    """What is not to be counted: events that are stored, and what users did before they were erased."""
    await in_spark(partial(work.remove, MARKS))
    erased = await counted_events.all_erased(live)
    if erased:
        await in_spark(partial(work.add_marks, [(user_id, at_ms, None) for user_id, at_ms in erased]))
    last = ""
    while stored := await counted_events.stored_after(live, last, _MARKS):
        last = stored[-1][0]
        await in_spark(partial(work.add_marks, [(user_id, None, event_id) for event_id, user_id in stored]))


def _lists(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table.column(name).to_pylist() for name in names]


def _pairs(table: pa.Table) -> FoldedPairs:
    both = pa.chunked_array([*table.column("id").chunks, *table.column("other").chunks], pa.string())
    encoded = both.combine_chunks().dictionary_encode()
    numbers = encoded.indices.to_numpy().astype(np.int64)
    sums = np.column_stack([table.column(name).to_numpy() for name in PAIR_SUMS])
    return FoldedPairs(encoded.dictionary.to_pylist(), numbers[: len(table)], numbers[len(table) :], sums)
