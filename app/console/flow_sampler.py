"""Samples the flow once a second while somebody looks, once for all who look."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from app.adapters import flow, ranking_models
from app.adapters.flow import Begun
from app.adapters.postgres import Database
from app.clock import clock
from app.console import registry
from app.core.flow import Backlogs, Counts, Faults, FlowStage, has_box, stages
from app.core.ranking_learner import ContenderFigures, report_of
from app.core.rolling_figures import Contender
from app.errors import DependencyDown, describe
from app.health import Readiness, TaskStatus

_log = structlog.get_logger(__name__)

EVERY_SEC: Final = 1.0
MOST_VIEWERS: Final = 32
_KEPT_SEC: Final = 900
# An outage must not hide for as long as a statement may take.
_READ_SEC: Final = 2.0
_LEARNER_EVERY: Final = 10
# Its detail names jobs that fail and events that were not counted; those of other tasks tell how far they are.
_COMPLAINS: Final = ("maintenance",)


class FlowSample(Struct, frozen=True, kw_only=True):
    """What the page shows at one time. `others`: what tasks that have no box complain of. `hit_rates`: by contender, of
    the latest sampled events. `begun`: null while Postgres does not answer.
    """

    at_ms: int
    status: str
    role: Sequence[str]
    stages: Sequence[FlowStage]
    others: dict[str, str]
    hit_rates: dict[str, float]
    ranking_tests: int
    begun: Begun | None


class Trace(Struct, frozen=True, array_like=True):
    """A point of the sparklines: the time, and the rate of each stage in the order of the flow."""

    at_ms: int
    rates: Sequence[float | None]


class FlowSampler:
    """`watch` gives the samples; the task behind it runs from the first viewer to the last."""

    def __init__(self, database: Database, report: Callable[[], Readiness]) -> None:
        self._database = database
        self._report = report
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()
        self._latest = b""
        self._ended = False
        self._traces: deque[Trace] = deque(maxlen=int(_KEPT_SEC / EVERY_SEC))
        self._before: tuple[float, dict[str, float]] | None = None
        self._figures: dict[Contender, ContenderFigures] = {}
        self._learner_age = 0

    @property
    def is_full(self) -> bool:
        return self._viewers >= MOST_VIEWERS

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """The points so far as an event of the stream, then each sample, until the process drains. A viewer who is slow
        misses samples; none are kept for it.
        """
        self._viewers += 1
        try:
            if self._task is None or self._task.done():
                self._ended = False
                self._task = asyncio.create_task(self._run(), name="console-flow")
            yield _event("traces", msgspec.json.encode(list(self._traces)))
            turn = self._turn
            if self._latest:
                yield self._latest
            while True:
                await turn.wait()
                turn = self._turn
                if self._ended:
                    return
                yield self._latest
        finally:
            self._viewers -= 1

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            while self._viewers and self._report().status != "draining":
                due = time.monotonic() + EVERY_SEC
                sample = await self._sample()
                self._traces.append(Trace(sample.at_ms, [stage.rate for stage in sample.stages]))
                self._publish(_event("sample", msgspec.json.encode(sample)))
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        except Exception as error:
            _log.error("console_flow_failed", error=describe(error), exc_info=error)
        finally:
            self._ended = True
            self._latest = b""
            self._before = None
            self._publish(b"")

    def _publish(self, event: bytes) -> None:
        self._latest = event
        done, self._turn = self._turn, asyncio.Event()
        done.set()

    async def _sample(self) -> FlowSample:
        report = self._report()
        faults = _faults(report)
        counts, backlogs, begun = None, None, None
        if "postgres" not in faults.dependencies:
            try:
                counts, backlogs, begun = await self._read()
            except (DependencyDown, TimeoutError) as error:
                reason = error.reason if isinstance(error, DependencyDown) else "does not answer"
                faults = msgspec.structs.replace(faults, dependencies={**faults.dependencies, "postgres": reason})
        rates = self._rates(counts)
        drawn = stages(
            rates,
            backlogs,
            faults,
            buffered=registry.buffered(),
            lag=registry.lag() if "consumer" in report.role else None,
            event_age_ms=rates["event_age_ms"],
        )
        return FlowSample(
            at_ms=clock.now_ms(),
            status=report.status,
            role=report.role,
            stages=drawn,
            # While a dependency is down, it is what they complain of.
            others={} if faults.dependencies else _others(report),
            hit_rates={name: of.all.hit_rate for name, of in self._figures.items()},
            ranking_tests=self._figures["served"].all.tests if "served" in self._figures else 0,
            begun=begun,
        )

    async def _read(self) -> tuple[Counts, Backlogs, Begun]:
        async with asyncio.timeout(_READ_SEC), self._database.connection() as connection:
            found = await flow.read(connection)
            if self._learner_age % _LEARNER_EVERY == 0:
                served = await ranking_models.read_served(connection)
                learner = await ranking_models.read_learner(connection)
                self._figures = report_of(learner.report, served.version).figures
            self._learner_age += 1
        return found

    def _rates(self, counts: Counts | None) -> dict[str, float | None]:
        """Differences to the sample before; none for the first, after a pause, and where a count began again."""
        now = time.monotonic()
        totals = registry.totals()
        if counts is not None:
            totals |= {"api": counts.accepted, "kafka": counts.published, "features": counts.counted}
        before, self._before = self._before, (now, totals)
        passed, old = (0.0, {}) if before is None else (now - before[0], before[1])
        grown = {name: totals[name] - old[name] for name in totals if name in old and totals[name] >= old[name]}
        events = grown.get("event_ages", 0)
        rates = {
            name: grown[name] / passed if name in grown else None for name in ("api", "kafka", "features", "cache")
        }
        return {
            **rates,
            "outbox": rates["api"],
            "event_age_ms": grown["event_age_ms"] / events if events and "event_age_ms" in grown else None,
        }


def _faults(report: Readiness) -> Faults:
    return Faults(
        frozenset(report.dependencies),
        {name: entry.error or entry.state for name, entry in report.dependencies.items() if entry.state == "down"},
        {name: entry.error or entry.state for name, entry in report.tasks.items() if _is_broken(entry)},
    )


def _others(report: Readiness) -> dict[str, str]:
    found = {
        name: (entry.error or entry.state) if _is_broken(entry) else entry.detail if name in _COMPLAINS else None
        for name, entry in report.tasks.items()
        if not has_box(name)
    }
    return {name: said for name, said in found.items() if said}


def _is_broken(task: TaskStatus) -> bool:
    return task.state not in ("running", "starting", "stopped")


def _event(name: str, content: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + content + b"\n\n"
