"""The scenarios, in rounds: each baseline right before what is compared with it, and all of it several times."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from app.core.events import TOPICS
from app.errors import UserError
from app.load import jobs, scrape, store
from app.load.handle import GeneratorHandle
from app.load.loops import Window
from app.load.plan import BATCHED_EVENTS, UNBOUNDED, Plan, Scenario
from app.load.requests import Endpoint
from app.load.results import Results, Sample, drain_rate, values_of
from app.load.screen import Screen
from app.load.stall import Stall
from app.load.store import Verdict
from app.load.target import Target, usage

if TYPE_CHECKING:
    from app.load.embedded import Embedded

_SEED_BATCH: Final = 500
_SEED_LIMIT_SEC: Final = 3600.0
_STALL_SEC: Final = 30.0
_POLL_SEC: Final = 0.25
_WARMUP_SEC: Final = 0.5
_IDLE_SEC: Final = 2.0
# Enough marked events for a p99, few enough that watching them is no load to speak of.
_MARKED_PER_SEC: Final = 25.0
_STEADY_TIMES_LONGER: Final = 2
_CHECK_PATIENCE_SEC: Final = 30.0

_PUBLISHED: Final = ("reco_outbox_relay_published_total", "")
_APPLIED: Final = ("reco_feature_consumer_processed_total", 'status="applied"')


class Bench:
    """Runs a plan against a target and gathers the results. `own` is the target when its processes are ours."""

    def __init__(
        self,
        plan: Plan,
        generator: GeneratorHandle,
        screen: Screen,
        *,
        target: Target,
        own: "Embedded | None",
        baseline: Endpoint | None,
        database_url: str,
        bootstrap_servers: str,
        topic_prefix: str,
    ) -> None:
        self._plan = plan
        self._generator = generator
        self._screen = screen
        self._target = target
        self._own = own
        self._baseline = baseline
        self._database_url = database_url
        self._bootstrap_servers = bootstrap_servers
        self._topic_prefix = topic_prefix
        self.results = Results()

    def run(self) -> None:
        """Raises `UserError` when the run cannot go on; errors of single requests are in the results."""
        if self._own is not None:
            self._idle()
        self._seed()
        for number in range(self._plan.rounds):
            for scenario in self._plan.scenarios:
                self._screen.step(f"round {number + 1} of {self._plan.rounds}: {scenario}")
                self._scenarios()[scenario]()

    def check(self) -> Verdict:
        """What the client was told beside what is stored; waits until the service has caught up."""
        self._screen.step("comparing what was acknowledged with what is stored")
        alone = self._own is not None
        if alone:
            self._drain_wholly()
        deadline = time.monotonic() + _CHECK_PATIENCE_SEC
        while True:
            verdict = store.check(self._database_url, self._generator.states(), alone=alone)
            if alone or not verdict.faults or time.monotonic() > deadline:
                return verdict
            time.sleep(1.0)

    def _scenarios(self) -> dict[Scenario, Callable[[], None]]:
        return {
            "single": self._single,
            "batch100": lambda: self._batch(100),
            "batch1000": lambda: self._batch(1000),
            "reco": self._reco,
            "pipeline": self._pipeline,
            "fresh": self._fresh,
        }

    def _single(self) -> None:
        for row, endpoint in (("baseline.post", self._baseline), ("single", self._target.endpoint)):
            if endpoint is not None:
                job = jobs.SendSingles(
                    endpoint=endpoint,
                    connections=self._plan.connections,
                    window=self._window(),
                    recorded=row == "single",
                )
                self._measure(row, job)
        self._drain()

    def _batch(self, size: int) -> None:
        window = self._window(max_good=BATCHED_EVENTS)
        if self._plan.baselines and self._own is not None:
            job = jobs.InsertRows(
                database_url=self._database_url, clients=self._plan.batch_clients, size=size, window=window
            )
            self._measure(f"baseline.insert{size}", job)
        clients = self._plan.batch_clients
        sending = jobs.SendBatches(endpoint=self._target.endpoint, connections=clients, size=size, window=window)
        self._measure(f"batch{size}", sending)
        self._drain()

    def _reco(self) -> None:
        for row, endpoint in (("baseline.get", self._baseline), ("reco", self._target.endpoint)):
            if endpoint is not None:
                self._measure(row, self._reads(endpoint, self._window()))
        if self._own is not None:
            self._own.flush_cache()
            self._measure("cold", self._reads(self._own.endpoint, self._window(warmup_sec=0.0)))

    def _reads(self, endpoint: Endpoint, window: Window) -> jobs.SendReads:
        return jobs.SendReads(endpoint=endpoint, connections=self._plan.connections, k=self._plan.k, window=window)

    def _fresh(self) -> None:
        job = jobs.SendSteadily(
            endpoint=self._target.endpoint,
            connections=self._plan.connections,
            rate=self._plan.rate,
            marked_per_sec=min(_MARKED_PER_SEC, self._plan.rate),
            window=self._window(seconds=_STEADY_TIMES_LONGER * self._plan.seconds),
        )
        self._measure("steady", job)
        self._drain()

    def _pipeline(self) -> None:
        """The relay alone on a full outbox, then the consumer alone on what the relay has published."""
        target = self._own
        assert target is not None
        if self._plan.baselines:
            job = jobs.ProduceMessages(
                bootstrap_servers=self._bootstrap_servers,
                topic=f"{self._topic_prefix}reco.load.baseline",
                partitions=2 * len(TOPICS),
                window=self._window(),
            )
            self._measure("baseline.produce", job)
        target.stop()
        missing = self._plan.backlog - store.count_outbox(target.database_url)
        if missing > 0:
            self._screen.step(f"filling the outbox with {missing:,} events")
            fill = jobs.FillOutbox(database_url=target.database_url, count=missing)
            self._generator.run(fill, self._shown(time.monotonic(), missing))
        self._drain_role("relay", _PUBLISHED, store.count_outbox(target.database_url))
        self._drain_role("consumer", _APPLIED, store.pending(target.database_url))
        target.start()

    def _drain_role(self, role: str, counter: tuple[str, str], total: int) -> None:
        target = self._own
        assert target is not None
        self._screen.step(f"the {role} alone on {total:,} events")
        samples = [(time.monotonic(), 0.0)]
        child = target.start_role(role)
        child.await_ready("/healthz")
        before, begun = target.reading(), time.monotonic()
        moved_at = begun
        while samples[-1][1] < total:
            time.sleep(_POLL_SEC)
            child.require_running()
            count = scrape.total(scrape.read(child.endpoint), *counter) or 0.0
            now = time.monotonic()
            if count > samples[-1][1]:
                moved_at = now
            samples.append((now, count))
            self._screen.tick(count, total, f"{count:,.0f} of {total:,}")
            if now - moved_at > _STALL_SEC:
                raise UserError(f"The {role} stands still at {count:,.0f} of {total:,} events.\n{child.log_tail()}")
        rate, slope = drain_rate(samples, total)
        values = {"rate": rate, **({} if slope is None else {"slope": slope})}
        values |= usage(before, target.reading(), time.monotonic() - begun)
        self._add(role, Sample(values=values))
        target.stop()

    def _idle(self) -> None:
        self._screen.step("the service at rest")
        time.sleep(_IDLE_SEC)  # what the start leaves to do is no rest
        before, begun = self._target.reading(), time.monotonic()
        time.sleep(_IDLE_SEC)
        values = usage(before, self._target.reading(), time.monotonic() - begun)
        self._add("idle", Sample(values=values))

    def _seed(self) -> None:
        total = self._plan.shape.users * self._plan.shape.history
        self._screen.step(f"giving {self._plan.shape.users:,} users their histories, {total:,} events")
        job = jobs.SendSeeds(
            endpoint=self._target.endpoint,
            connections=self._plan.batch_clients,
            size=_SEED_BATCH,
            now_ms=time.time_ns() // 1_000_000,
            window=Window(seconds=_SEED_LIMIT_SEC, max_good=UNBOUNDED, warmup_sec=0.0, grace_sec=30.0),
        )
        measured = self._generator.run(job, self._shown(time.monotonic(), total))
        if measured.series.errors:
            raise UserError(f"The histories could not be sent: {measured.series.errors} {measured.series.first_bodies}")
        self._drain_wholly()

    def _measure(self, row: str, job: jobs.Job) -> None:
        ours = not row.startswith("baseline.")
        before, begun = self._target.reading(), time.monotonic()
        measured = self._generator.run(job, self._shown(begun, None))
        seconds = time.monotonic() - begun
        values = values_of(measured.series) | {"generator_cpu": measured.generator_cpu_sec / seconds}
        if ours:
            values |= usage(before, self._target.reading(), seconds)
        self._add(row, _sample(values, measured.series))
        if measured.visible is not None:
            values = values_of(measured.visible)
            del values["rate"]  # that of the marks, which says nothing of the service
            self._add("visible", _sample(values, measured.visible))

    def _drain_wholly(self) -> None:
        """As `_drain`, with a relay and a consumer for the time being where the layout has none."""
        own = self._own
        if own is not None and not own.drains:
            with _lent(own, "relay,consumer"):
                self._await_quiet(lambda: store.pending(own.database_url))
        else:
            self._drain()

    def _drain(self) -> None:
        """Waits until everything accepted is in the features, so that the next measurement has the machine alone."""
        self._await_quiet(self._target.pending)

    def _await_quiet(self, pending: Callable[[], int | None]) -> None:
        stall = Stall(_STALL_SEC, time.monotonic())
        while left := pending():
            if stall.at(left, time.monotonic()):
                raise UserError(f"{left:,} accepted events do not reach the features; look at GET /readyz and the logs")
            self._screen.tick(0, None, f"{left:,} events on their way to the features")
            time.sleep(_POLL_SEC)

    def _window(
        self, *, seconds: float | None = None, max_good: int = UNBOUNDED, warmup_sec: float = _WARMUP_SEC
    ) -> Window:
        seconds = seconds or self._plan.seconds
        return Window(seconds=seconds, max_good=max_good, warmup_sec=min(warmup_sec, seconds / 2))

    def _shown(self, begun: float, total: int | None) -> Callable[[jobs.Progress], None]:
        def on_progress(progress: jobs.Progress) -> None:
            seconds = max(time.monotonic() - begun, 1e-3)
            note = f"{progress.good / seconds:,.0f}/s" + (f", {progress.errors:,} errors" if progress.errors else "")
            self._screen.tick(progress.good if total else seconds, total, note)

        return on_progress

    def _add(self, row: str, sample: Sample) -> None:
        self.results.add(row, sample)
        self._screen.measured(row, sample)


@contextmanager
def _lent(target: "Embedded", role: str) -> Iterator[None]:
    child = target.start_role(role)
    child.await_ready("/readyz")
    try:
        yield
    finally:
        target.end(child)


def _sample(values: dict[str, float], series: jobs.Series) -> Sample:
    return Sample(values=values, errors=series.errors, first_bodies=series.first_bodies)
