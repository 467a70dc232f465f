"""The generator process: `python -m app.load.generator` reads jobs from stdin, one a line, and answers on stdout."""

import asyncio
import gc
import itertools
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import asyncpg
import msgspec
import uvloop
from aiokafka.errors import KafkaError
from msgspec import structs

from app.core.events import Record, accept
from app.errors import DependencyDown, describe
from app.load import drivers, jobs
from app.load.freshness import Marked
from app.load.lists import Lists, catalogue
from app.load.loops import ClosedLoop, LoopCounts, OpenLoop, Window, measure
from app.load.plan import UNBOUNDED
from app.load.requests import Batches, Endpoint, Gets, RequestSource, SentEvents, Singles, reco_path, template
from app.load.workload import Population

# So many that repeats are far apart, and so few that they are made in half a second.
_POOL: Final = 20_000
_REPORT_SEC: Final = 0.5
# Before `SendLists`, each of its requests is answered once.
_ONCE_CONNECTIONS: Final = 8
_ONCE_SEC: Final = 300.0
# Marked events are for popular items: these surely have neighbours once the histories are in.
_MARKED_ITEMS: Final = 20
# Of `SendMixed`: one event in so many is of users and items that come once, a tenth as many as there are.
_PASSING_EVERY: Final = 5
_TURN_STEP: Final = 7_919
# The run's name in the ids of events that go to a baseline and are stored nowhere.
_DISCARDED: Final = "discards"


class Generator:
    """Does one job at a time for one run."""

    def __init__(self, start: jobs.Start) -> None:
        self._world = Population(start.shape)
        self._history = SentEvents(start.run)
        self._templates = [template(event) for event in itertools.islice(self._world.events("live"), _POOL)]
        # The collector skips these objects: its pauses would count as the service's.
        gc.collect()
        gc.freeze()

    async def do(self, job: jobs.Job) -> jobs.Measured | jobs.States:
        """Raises OSError, `DependencyDown`, asyncpg's and aiokafka's errors when what is needed is not there."""
        begun_cpu = time.process_time()
        visible = reads = None
        match job:
            case jobs.TellStates():
                return self._states()
            case jobs.SendSteadily():
                series, visible = await self._steady(job)
            case jobs.SendMixed():
                series, reads = await self._mixed(job)
            case jobs.SendLists():
                series = await self._lists(job)
            case jobs.FillOutbox():
                series = await self._fill(job)
            case jobs.InsertRows() | jobs.ProduceMessages():
                series = await self._baseline(job)
            case _:
                series = await self._closed(job)
        cpu_sec = time.process_time() - begun_cpu
        return jobs.Measured(series=series, visible=visible, reads=reads, generator_cpu_sec=cpu_sec)

    async def _closed(self, job: jobs.ClosedLoopJob) -> jobs.Series:
        counts = LoopCounts()
        loop = ClosedLoop(job.endpoint, self._source(job), counts, job.connections)
        return _series(counts, await measure(loop, counts, job.window, _reporter()))

    def _source(self, job: jobs.ClosedLoopJob) -> RequestSource:
        match job:
            case jobs.SendSingles():
                history = self._history if job.recorded else SentEvents(_DISCARDED)
                return Singles(job.endpoint, self._templates, history)
            case jobs.SendBatches():
                return Batches(job.endpoint, self._templates, self._history, job.size)
            case jobs.SendSeeds():
                seeds = map(template, self._world.seed_events(job.now_ms))
                return Batches(job.endpoint, seeds, self._history, job.size, once=True)
            case jobs.SendReads():
                return self._reads(job.endpoint, job.k)
            case jobs.SendCatalogue():
                return catalogue(job.endpoint, self._world, job.k)

    def _reads(self, endpoint: Endpoint, k: int) -> Gets:
        users = (event.user_id for event in self._world.events("readers"))
        return Gets(endpoint, [reco_path(user_id, k) for user_id in itertools.islice(users, _POOL)])

    async def _lists(self, job: jobs.SendLists) -> jobs.Series:
        counts, before = LoopCounts(), LoopCounts()
        lists = Lists(job.endpoint, self._world, job.kind, job.k)
        once = ClosedLoop(job.endpoint, lists.once(), before, _ONCE_CONNECTIONS)
        await measure(once, before, Window(seconds=_ONCE_SEC, max_good=UNBOUNDED, warmup_sec=0.0), _reporter())
        loop = OpenLoop(job.endpoint, lists, counts, job.connections, job.rate)
        return _series(counts, await measure(loop, counts, job.window, _reporter()))

    async def _steady(self, job: jobs.SendSteadily) -> tuple[jobs.Series, jobs.Series]:
        counts = LoopCounts()
        plain = Singles(job.endpoint, self._templates, self._history)
        popular = list(self._world.popular_items(_MARKED_ITEMS))
        marked = Marked(job.endpoint, plain, self._history, popular, max(1, round(job.rate / job.marked_per_sec)))
        loop = OpenLoop(job.endpoint, marked, counts, job.connections, job.rate)
        seconds = await measure(loop, counts, job.window, _reporter())
        await marked.finish()
        return _series(counts, seconds), _series(marked.visible, seconds)

    async def _mixed(self, job: jobs.SendMixed) -> tuple[jobs.Series, jobs.Series]:
        shape = self._world.shape
        passing = Population(
            structs.replace(shape, users=_share(shape.users), items=_share(shape.items)), f"turn{job.turn}-"
        )
        new = [template(event) for event in itertools.islice(passing.events("live"), _POOL // _PASSING_EVERY)]
        # From somewhere else in the pool each time: the same events would meet the same pairs.
        start = job.turn * _TURN_STEP % len(self._templates)
        mixed = [*self._templates[start:], *self._templates[:start]]
        mixed[::_PASSING_EVERY] = new
        events, reads = LoopCounts(), LoopCounts()
        singles = Singles(job.endpoint, mixed, self._history)
        sending = OpenLoop(job.endpoint, singles, events, job.connections, job.rate)
        reading = OpenLoop(job.endpoint, self._reads(job.endpoint, job.k), reads, job.connections, job.reads_per_sec)
        seconds, read_seconds = await asyncio.gather(
            measure(sending, events, job.window, _reporter()), measure(reading, reads, job.window, lambda _: None)
        )
        return _series(events, seconds), _series(reads, read_seconds)

    async def _fill(self, job: jobs.FillOutbox) -> jobs.Series:
        counts = LoopCounts()
        # Each at a time of its own, as in a log: items that a user met at one time are all next to each other.
        first_ms = time.time_ns() // 1_000_000 - job.count
        records = itertools.islice(self._records("backlog", self._history, first_ms), job.count)
        return _series(counts, await drivers.fill_outbox(job.database_url, records, self._history, counts, _reporter()))

    async def _baseline(self, job: jobs.InsertRows | jobs.ProduceMessages) -> jobs.Series:
        counts = LoopCounts()
        records = list(itertools.islice(self._records("live", SentEvents(_DISCARDED)), _POOL))
        if isinstance(job, jobs.InsertRows):
            return _series(counts, await drivers.insert_rows(job, records, counts, _reporter()))
        return _series(counts, await drivers.produce_messages(job, records, counts, _reporter()))

    def _records(self, stream: str, history: SentEvents, first_ms: int | None = None) -> Iterator[Record]:
        """`first_ms`: the time of the first event; each of the others is a millisecond later. None: all are of now."""
        now_ms = time.time_ns() // 1_000_000
        for number, event in enumerate(self._world.events(stream)):
            event.event_id = history.event_id(history.take(1)).decode()
            if first_ms is not None:
                event.ts_ms = first_ms + number
            yield accept(event, now_ms=now_ms, entropy=bytes(10))

    def _states(self) -> jobs.States:
        prefix = self._history.event_id(0).decode()[:-10]
        return jobs.States(id_prefix=prefix, compressed=zlib.compress(bytes(self._history.states)))


async def main() -> None:
    """Runs until stdin ends, so never longer than the command that started it."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    decoder = msgspec.json.Decoder(jobs.JobLine)
    generator: Generator | None = None
    while line := await reader.readline():
        command = decoder.decode(line)
        if isinstance(command, jobs.Start):
            generator = Generator(command)
            continue
        assert generator is not None
        try:
            _say(await generator.do(command))
        except (OSError, DependencyDown, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError) as error:
            _say(jobs.Failed(describe(error)))


def _share(count: int) -> int:
    return max(1, count // 10)


def _series(counts: LoopCounts, seconds: float) -> jobs.Series:
    return jobs.Series(
        seconds=seconds,
        requests=counts.requests,
        good=counts.good,
        latency=counts.latency.encoded(),
        errors=dict(counts.errors),
        first_bodies=counts.first_bodies,
    )


def _reporter() -> Callable[[LoopCounts], None]:
    """Reports progress, at most twice a second."""
    said_at = 0.0

    def report(counts: LoopCounts) -> None:
        nonlocal said_at
        now = time.perf_counter()
        if now - said_at >= _REPORT_SEC:
            said_at = now
            _say(jobs.JobProgress(good=counts.good, errors=sum(counts.errors.values())))

    return report


def _say(reply: jobs.JobReply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
