"""What the scenarios measure with: the generator, the service under load, waits for a quiet pipeline, the results."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from app.errors import UserError
from app.load import jobs, scrape, store
from app.load.endurance import MinuteReading
from app.load.handle import GeneratorHandle
from app.load.lists import filtered_path, is_full
from app.load.loops import Window
from app.load.plan import UNBOUNDED, Plan
from app.load.requests import Endpoint
from app.load.results import Results, Sample, values_of
from app.load.screen import LoadScreen
from app.load.stall import Stall
from app.load.store import CheckResult
from app.load.subject import Subject, usage

if TYPE_CHECKING:
    from app.load.embedded import Embedded

_SEED_BATCH: Final = 500
# So few that they have their commits in time on a slow machine, too, whose relay and consumer work meanwhile.
_SEED_CLIENTS: Final = 2
_SEED_LIMIT_SEC: Final = 3600.0
STALL_SEC: Final = 30.0
POLL_SEC: Final = 0.25
_WARMUP_SEC: Final = 0.5
_IDLE_SEC: Final = 2.0
_CHECK_PATIENCE_SEC: Final = 30.0


class Bench:
    """Measures jobs against the service under load and collects the results.

    `own` is that service when its processes are ours, else None. `baseline` is the bare Litestar server, None without
    baselines.
    """

    def __init__(
        self,
        plan: Plan,
        generator: GeneratorHandle,
        screen: LoadScreen,
        *,
        subject: Subject,
        own: "Embedded | None",
        baseline: Endpoint | None,
        database_url: str,
        bootstrap_servers: str,
        topic_prefix: str,
    ) -> None:
        self.plan = plan
        self.generator = generator
        self.screen = screen
        self.subject = subject
        self.own = own
        self.baseline = baseline
        self.database_url = database_url
        self.bootstrap_servers = bootstrap_servers
        self.topic_prefix = topic_prefix
        self.results = Results()
        self._has_catalogue = False

    def prepare(self) -> None:
        """Measures the idle service and gives the users their histories. Raises `UserError` when that fails."""
        if self.own is not None:
            self._idle()
        self._seed()

    def check(self) -> CheckResult:
        """Compares the acknowledgements with what is stored, after waiting for the service to catch up."""
        self.screen.step("comparing what was acknowledged with what is stored")
        alone = self.own is not None
        if alone:
            self.drain_completely()
        deadline = time.monotonic() + _CHECK_PATIENCE_SEC
        while True:
            verdict = store.check(self.database_url, self.generator.states(), alone=alone)
            if alone or not verdict.violations or time.monotonic() > deadline:
                return verdict
            time.sleep(1.0)

    def _idle(self) -> None:
        self.screen.step("the service at rest")
        time.sleep(_IDLE_SEC)  # the start leaves work that would count as idle
        before, begun = self.subject.reading(), time.monotonic()
        time.sleep(_IDLE_SEC)
        values = usage(before, self.subject.reading(), time.monotonic() - begun)
        self.add("idle", Sample(values=values))

    def _seed(self) -> None:
        total = self.plan.shape.users * self.plan.shape.history
        self.screen.step(f"giving {self.plan.shape.users:,} users their histories, {total:,} events")
        job = jobs.SendSeeds(
            endpoint=self.subject.endpoint,
            connections=_SEED_CLIENTS,
            size=_SEED_BATCH,
            now_ms=time.time_ns() // 1_000_000,
            window=Window(seconds=_SEED_LIMIT_SEC, max_good=UNBOUNDED, warmup_sec=0.0, grace_sec=30.0),
        )
        measured = self.generator.run(job, self.progress(time.monotonic(), total))
        if measured.series.errors:
            raise UserError(f"The histories could not be sent: {measured.series.errors} {measured.series.first_bodies}")
        self.drain_completely()

    def store_catalogue(self) -> None:
        """Once a run; returns when lists of it are full. Raises `UserError` when they do not become so."""
        if self._has_catalogue:
            return
        plan, endpoint = self.plan, self.subject.endpoint
        self.screen.step(f"storing a catalogue of {plan.shape.items:,} items")
        window = Window(seconds=_SEED_LIMIT_SEC, max_good=UNBOUNDED, warmup_sec=0.0, grace_sec=30.0)
        job = jobs.SendCatalogue(endpoint=endpoint, k=plan.k, window=window)
        measured = self.generator.run(job, self.progress(time.monotonic(), None))
        if measured.series.errors:
            raise UserError(f"The catalogue was not stored: {measured.series.errors} {measured.series.first_bodies}")
        deadline = time.monotonic() + STALL_SEC
        while True:
            status, body = scrape.get(endpoint, filtered_path("nobody", plan.k, 0))
            if status == 200 and is_full(body.encode(), plan.k):
                break
            if time.monotonic() > deadline:
                raise UserError(f"A list of the catalogue does not become full: {status} {body[:500]}")
            time.sleep(POLL_SEC)
        self._has_catalogue = True

    def measure(self, row: str, job: jobs.Job) -> tuple[dict[str, float], dict[str, float] | None]:
        """Adds the job's rows; returns the values of events, and of reads where the job has both."""
        ours = not row.startswith("baseline.")
        before, begun = self.subject.reading(), time.monotonic()
        measured = self.generator.run(job, self.progress(begun, None))
        seconds = time.monotonic() - begun
        values = values_of(measured.series) | {"generator_cpu": measured.generator_cpu_sec / seconds}
        if ours:
            values |= usage(before, self.subject.reading(), seconds)
        self.add(row, _sample(values, measured.series))
        if measured.visible is not None:
            values = values_of(measured.visible)
            del values["rate"]  # the rate of marked events says nothing about the service
            self.add("visible", _sample(values, measured.visible))
        reads = None if measured.reads is None else values_of(measured.reads)
        if measured.reads is not None and reads is not None:
            self.add(f"{row}.reco", _sample(reads, measured.reads))
        return values_of(measured.series), reads

    def endured(self, minute: MinuteReading) -> None:
        self.results.minutes.append(minute)
        self.screen.endured(minute)

    def drain_completely(self) -> None:
        """As `drain`, with a temporary relay and consumer if the layout has none."""
        own = self.own
        if own is not None and not own.drains:
            with _lent(own, "relay,consumer"):
                self._await_quiet(lambda: store.pending(own.database_url))
        else:
            self.drain()

    def drain(self) -> None:
        """Waits until everything accepted is in the features, so that the next measurement has the machine alone."""
        self._await_quiet(self.subject.pending)

    def _await_quiet(self, pending: Callable[[], int | None]) -> None:
        stall = Stall(STALL_SEC, time.monotonic())
        while left := pending():
            if stall.at(left, time.monotonic()):
                raise UserError(f"{left:,} accepted events do not reach the features; look at GET /readyz and the logs")
            self.screen.tick(0, None, f"{left:,} events on their way to the features")
            time.sleep(POLL_SEC)

    def window(
        self, *, seconds: float | None = None, max_good: int = UNBOUNDED, warmup_sec: float = _WARMUP_SEC
    ) -> Window:
        seconds = seconds or self.plan.seconds
        return Window(seconds=seconds, max_good=max_good, warmup_sec=min(warmup_sec, seconds / 2))

    def progress(self, begun: float, total: int | None) -> Callable[[jobs.JobProgress], None]:
        def on_progress(progress: jobs.JobProgress) -> None:
            seconds = max(time.monotonic() - begun, 1e-3)
            note = f"{progress.good / seconds:,.0f}/s" + (f", {progress.errors:,} errors" if progress.errors else "")
            self.screen.tick(progress.good if total else seconds, total, note)

        return on_progress

    def add(self, row: str, sample: Sample) -> None:
        self.results.add(row, sample)
        self.screen.measured(row, sample)


@contextmanager
def _lent(subject: "Embedded", role: str) -> Iterator[None]:
    child = subject.start_role(role)
    child.await_ready("/readyz")
    try:
        yield
    finally:
        subject.end(child)


def _sample(values: dict[str, float], series: jobs.Series) -> Sample:
    return Sample(values=values, errors=series.errors, first_bodies=series.first_bodies)
