"""The scenarios of `reco load`: what each measures, and beside which baseline.

To add one: a class with `run`, its entry in `SCENARIOS`, its name in `app.load.plan`, its rows in `app.load.results`.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from app.core.events import TOPICS
from app.errors import UserError
from app.load import jobs, scrape, store
from app.load.bench import POLL_SEC, STALL_SEC, Bench
from app.load.endurance import MinuteReading
from app.load.lists import ListKind
from app.load.loops import Window
from app.load.plan import BATCHED_EVENTS, Scenario
from app.load.requests import Endpoint
from app.load.results import Sample, drain_rate
from app.load.subject import usage

if TYPE_CHECKING:
    from app.load.embedded import Embedded

# Enough marked events for a p99, and few enough that watching them adds no load to speak of.
_MARKED_PER_SEC: Final = 25.0
_STEADY_TIMES_LONGER: Final = 2
_MINUTE_SEC: Final = 60.0

_PUBLISHED: Final = ("reco_outbox_relay_published_total", "")
_LAG: Final = ("reco_feature_consumer_partition_lag", "")
_APPLIED: Final = ("reco_feature_consumer_processed_total", 'status="applied"')


class Runnable(Protocol):
    """One scenario."""

    def run(self, bench: Bench) -> None:
        """Measures its rows once. Raises `UserError` when the run cannot continue."""


class SingleEvents:
    """One event a request, beside bare Litestar taking the same POSTs."""

    def run(self, bench: Bench) -> None:
        for row, endpoint in (("baseline.post", bench.baseline), ("single", bench.subject.endpoint)):
            if endpoint is not None:
                job = jobs.SendSingles(
                    endpoint=endpoint,
                    connections=bench.plan.connections,
                    window=bench.window(),
                    recorded=row == "single",
                )
                bench.measure(row, job)
        bench.drain()


class EventBatches(Struct, frozen=True):
    """`size` events a request, beside bare asyncpg inserting as many rows a statement."""

    size: int

    def run(self, bench: Bench) -> None:
        plan, window = bench.plan, bench.window(max_good=BATCHED_EVENTS)
        if plan.baselines and bench.own is not None:
            job = jobs.InsertRows(
                database_url=bench.database_url, clients=plan.batch_clients, size=self.size, window=window
            )
            bench.measure(f"baseline.insert{self.size}", job)
        sending = jobs.SendBatches(
            endpoint=bench.subject.endpoint, connections=plan.batch_clients, size=self.size, window=window
        )
        bench.measure(f"batch{self.size}", sending)
        bench.drain()


class Recommendations:
    """`GET /reco`, beside bare Litestar answering as many items; then again right after Redis was flushed."""

    def run(self, bench: Bench) -> None:
        for row, endpoint in (("baseline.get", bench.baseline), ("reco", bench.subject.endpoint)):
            if endpoint is not None:
                bench.measure(row, self._reads(bench, endpoint, bench.window()))
        if bench.own is not None:
            bench.own.flush_cache()
            bench.measure("cold", self._reads(bench, bench.own.endpoint, bench.window(warmup_sec=0.0)))

    @staticmethod
    def _reads(bench: Bench, endpoint: Endpoint, window: Window) -> jobs.SendReads:
        return jobs.SendReads(endpoint=endpoint, connections=bench.plan.connections, k=bench.plan.k, window=window)


class SteadyLoad:
    """Events at a fixed rate, and the time until `/reco` reflects some of them."""

    def run(self, bench: Bench) -> None:
        plan = bench.plan
        job = jobs.SendSteadily(
            endpoint=bench.subject.endpoint,
            connections=plan.connections,
            rate=plan.rate,
            marked_per_sec=min(_MARKED_PER_SEC, plan.rate),
            window=bench.window(seconds=_STEADY_TIMES_LONGER * plan.seconds),
        )
        bench.measure("steady", job)
        bench.drain()


class Endurance:
    """Events and reads at fixed rates for minutes, while rows expire; what there is at the end of each minute."""

    def run(self, bench: Bench) -> None:
        own, plan = bench.own, bench.plan
        assert own is not None  # `plan.errors` refuses this scenario for a service at a URL
        for minute in range(1, plan.minutes + 1):
            bench.screen.step(f"minute {minute} of {plan.minutes}")
            job = jobs.SendMixed(
                endpoint=own.endpoint,
                connections=plan.connections,
                rate=plan.rate,
                reads_per_sec=plan.reads_per_sec,
                k=plan.k,
                turn=minute,
                window=bench.window(seconds=_MINUTE_SEC, warmup_sec=0.0),
            )
            events, reads = bench.measure("endure", job)
            assert reads is not None
            reading = own.reading()
            assert reading.rss_bytes is not None
            bench.endured(
                MinuteReading(
                    minute=minute,
                    events_per_sec=events["rate"],
                    reads_per_sec=reads["rate"],
                    event_p99=events["p99"],
                    read_p99=reads["p99"],
                    lag=store.count_outbox(own.database_url) + (scrape.total(reading.samples, *_LAG) or 0.0),
                    rss_mb=reading.rss_bytes / 1e6,
                    tables=store.table_sizes(own.database_url),
                )
            )


class CatalogueLists(Struct, frozen=True):
    """Lists of a long catalogue at a fixed rate, kind by kind, the baseline before them."""

    baseline: str
    kinds: tuple[ListKind, ...]

    def run(self, bench: Bench) -> None:
        bench.store_catalogue()
        if bench.baseline is not None:
            bench.measure(self.baseline, self._job(bench, bench.baseline, self.kinds[-1]))
        for kind in self.kinds:
            bench.measure(kind, self._job(bench, bench.subject.endpoint, kind))

    @staticmethod
    def _job(bench: Bench, endpoint: Endpoint, kind: ListKind) -> jobs.SendLists:
        plan = bench.plan
        return jobs.SendLists(
            endpoint=endpoint,
            connections=plan.connections,
            kind=kind,
            k=plan.k,
            rate=plan.reads_per_sec,
            window=bench.window(),
        )


class Pipeline:
    """The relay alone on a full outbox, then the consumer alone on what the relay published.

    The relay stands beside bare aiokafka producing the same messages.
    """

    def run(self, bench: Bench) -> None:
        own, plan = bench.own, bench.plan
        assert own is not None  # `plan.errors` refuses this scenario for a service at a URL
        if plan.baselines:
            job = jobs.ProduceMessages(
                bootstrap_servers=bench.bootstrap_servers,
                topic=f"{bench.topic_prefix}reco.load.baseline",
                partitions=2 * len(TOPICS),
                window=bench.window(),
            )
            bench.measure("baseline.produce", job)
        own.stop()
        missing = plan.backlog - store.count_outbox(own.database_url)
        if missing > 0:
            bench.screen.step(f"filling the outbox with {missing:,} events")
            fill = jobs.FillOutbox(database_url=own.database_url, count=missing)
            bench.generator.run(fill, bench.progress(time.monotonic(), missing))
        self._drain_role(bench, own, "relay", _PUBLISHED, store.count_outbox(own.database_url))
        self._drain_role(bench, own, "consumer", _APPLIED, store.pending(own.database_url))
        own.start()

    @staticmethod
    def _drain_role(bench: Bench, own: "Embedded", role: str, counter: tuple[str, str], total: int) -> None:
        bench.screen.step(f"the {role} alone on {total:,} events")
        samples = [(time.monotonic(), 0.0)]
        child = own.start_role(role)
        child.await_ready("/healthz")
        before, begun = own.reading(), time.monotonic()
        moved_at = begun
        while samples[-1][1] < total:
            time.sleep(POLL_SEC)
            child.require_running()
            count = scrape.total(scrape.read(child.endpoint), *counter) or 0.0
            now = time.monotonic()
            if count > samples[-1][1]:
                moved_at = now
            samples.append((now, count))
            bench.screen.tick(count, total, f"{count:,.0f} of {total:,}")
            if now - moved_at > STALL_SEC:
                raise UserError(f"The {role} has stopped at {count:,.0f} of {total:,} events.\n{child.log_tail()}")
        rate, slope = drain_rate(samples, total)
        values = {"rate": rate, **({} if slope is None else {"slope": slope})}
        values |= usage(before, own.reading(), time.monotonic() - begun)
        bench.add(role, Sample(values=values))
        own.stop()


SCENARIOS: Final[Mapping[Scenario, Runnable]] = {
    "single": SingleEvents(),
    "batch100": EventBatches(100),
    "batch1000": EventBatches(1000),
    "reco": Recommendations(),
    "pipeline": Pipeline(),
    "fresh": SteadyLoad(),
    "filter": CatalogueLists("baseline.lists", ("unfiltered", "filter")),
    "rank": CatalogueLists("baseline.rank", ("rank",)),
    "endure": Endurance(),
}
