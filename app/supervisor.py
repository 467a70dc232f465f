"""Runs named tasks: a task that fails restarts alone with backoff, one that stops making progress is cancelled and
restarted, one that returns before it was told to stop has crashed.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import anyio
import structlog
from msgspec import Struct

from app import metrics
from app.core.outcomes import Outcomes
from app.core.retry import backoff
from app.errors import describe
from app.health import Requirement, TaskState, TaskStatus

_log = structlog.get_logger(__name__)

_RESTART_BASE_SEC: Final = 0.5
_RESTART_MAX_SEC: Final = 30.0
# A task that ran this long before it failed was healthy: the failure counts as the first of a new series.
_HEALTHY_AFTER_SEC: Final = 60.0
_CHECK_EVERY_SEC: Final = 0.5
# How long a cancelled task may take to clean up before it counts as wedged and /healthz asks for a new process.
_CANCEL_GRACE_SEC: Final = 5.0


class Progress:
    """A task's report on itself. Every loop beats once per turn; `detail` says what it waits for. One that `warms_up`
    is `starting` until `started` is called.

    `worked` and `failed` tell the outcomes of its real work, which decide with `beat` whether the process is ready.
    """

    __slots__ = ("beat_at", "detail", "outcomes", "warms_up")

    def __init__(self, *, warms_up: bool = False) -> None:
        self.beat_at: float | None = None
        self.detail: str | None = None
        self.outcomes = Outcomes()
        self.warms_up = warms_up

    def started(self) -> None:
        self.warms_up = False
        self.beat()

    def beat(self, detail: str | None = None) -> None:
        self.beat_at = time.monotonic()
        self.detail = detail

    def worked(self) -> None:
        self.outcomes.worked(time.monotonic())

    def failed(self, error: str) -> None:
        self.outcomes.failed(time.monotonic(), error)


Run = Callable[[asyncio.Event, Progress], Awaitable[None]]


class TaskSpec(Struct, frozen=True):
    """`run(stop, progress)` works until `stop` is set, finishes what it has in hand and returns.

    `stall_sec` is longer than the longest await inside `run` may take; no beat for that long means stuck. While a
    `required` task does not run the process is not ready; without one that `degrades` it is. `work` says the same for a
    task that runs and whose work fails. A task that `warms_up` says itself when it has started.
    """

    name: str
    run: Run
    stall_sec: float = 60.0
    need: Requirement = "required"
    work: Requirement = "required"
    warms_up: bool = False


class _Failure(Struct, frozen=True):
    """Why a run ended; `cause` has the traceback, where there is one."""

    reason: str
    cause: BaseException | None = None


class _Watched:
    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self.progress = Progress(warms_up=spec.warms_up)
        self.state: TaskState = "starting"
        self.since = time.time()
        self.restarts = 0
        self.error: str | None = None

    def turn(self, state: TaskState) -> None:
        if state != self.state:
            self.state = state
            self.since = time.time()
        metrics.TASK_RUNNING.labels(self.spec.name).set(state == "running")

    def entry(self) -> TaskStatus:
        now = time.monotonic()
        beat, outcomes = self.progress.beat_at, self.progress.outcomes
        failing = self.state == "running" and outcomes.failing(now)
        state: TaskState = "failing" if failing else self.state
        if state == "running" and self.progress.warms_up:
            state = "starting"
        metrics.API_CHECK.labels("task", self.spec.name).set(state == "running")
        return TaskStatus(
            state=state,
            since=_iso(time.time() - (now - outcomes.first_failed_at) if failing else self.since),
            last_progress=None if beat is None else _iso(time.time() - (now - beat)),
            restarts=self.restarts,
            need=self.spec.work if failing else self.spec.need,
            detail=self.progress.detail,
            error=outcomes.error if failing else self.error,
        )


class Supervisor:
    """Owns the tasks from `start` until each has returned after its stop event was set.

    Each is an asyncio task of its own and in no group: a group would wait for one that is wedged. It is cancelled once,
    so that it can close its connections; a cancel scope would cancel that as well (ADR 22).
    """

    def __init__(self, specs: Sequence[TaskSpec]) -> None:
        self._watched = {spec.name: _Watched(spec) for spec in specs}
        self._stops = {spec.name: asyncio.Event() for spec in specs}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        for name, watched in self._watched.items():
            self._keepers[name] = asyncio.create_task(self._keep(watched, self._stops[name]), name=f"keep-{name}")

    async def stop(self, *names: str, finish_sec: float | None = None) -> None:
        """Tells the named tasks to finish and waits for them. After `finish_sec` the others are cancelled: they close
        what they hold, which `ended` waits for.
        """
        for name in names:
            self._stops[name].set()
        if not names:
            return
        await asyncio.wait([self._keepers[name] for name in names], timeout=finish_sec)
        for name in names:
            if not self._keepers[name].done():
                _log.warning("task_cut_short", task=name, detail=self._watched[name].progress.detail)
                self._keepers[name].cancel()

    async def ended(self) -> None:
        """Returns when every task has ended, those that were cancelled too."""
        await asyncio.wait(self._keepers.values())

    async def cancel(self) -> None:
        """Cancels the remaining tasks without waiting for their work."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.wait(self._keepers.values(), timeout=_CANCEL_GRACE_SEC)

    def report(self) -> dict[str, TaskStatus]:
        return {name: watched.entry() for name, watched in self._watched.items()}

    def wedged(self) -> list[str]:
        """Tasks that neither progress nor end when cancelled: only a new process helps."""
        return [name for name, watched in self._watched.items() if watched.state == "wedged"]

    async def _keep(self, watched: _Watched, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            started = time.monotonic()
            watched.progress.beat()
            watched.turn("running")
            failure = await self._run_once(watched, stop)
            watched.error = None if failure is None else failure.reason
            if failure is None:
                break
            failures = 1 if time.monotonic() - started > _HEALTHY_AFTER_SEC else failures + 1
            watched.restarts += 1
            watched.turn("restarting")
            metrics.TASK_RESTARTS.labels(watched.spec.name).inc()
            delay = backoff(failures, base_sec=_RESTART_BASE_SEC, max_sec=_RESTART_MAX_SEC, chance=random.random())
            _log.error(
                "task_restarts",
                task=watched.spec.name,
                error=failure.reason,
                in_sec=round(delay, 2),
                exc_info=failure.cause,
            )
            await wait_for_stop(stop, delay)
        watched.turn("stopped")

    async def _run_once(self, watched: _Watched, stop: asyncio.Event) -> _Failure | None:
        """Runs the task until it ends; returns what went wrong, None when it stopped as told."""
        spec = watched.spec
        task = asyncio.ensure_future(spec.run(stop, watched.progress))
        stalled: str | None = None
        try:
            while not task.done():
                await asyncio.wait([task], timeout=_CHECK_EVERY_SEC)
                silent_sec = time.monotonic() - (watched.progress.beat_at or 0.0)
                if not task.done() and silent_sec > spec.stall_sec:
                    stalled = watched.error = f"no progress for {silent_sec:.0f} s; cancelled"
                    await self._cancel(watched, task)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_GRACE_SEC)
            watched.turn("stopped")
            raise
        try:
            task.result()
        except BaseException as error:  # a cancellation as well: its traceback shows where the task stood still
            reason = "cancelled from within" if task.cancelled() else describe(error)
            return _Failure(stalled or reason, error)
        if stalled is None and stop.is_set():
            return None
        return _Failure(stalled or "returned before it was told to stop")

    async def _cancel(self, watched: _Watched, task: "asyncio.Future[None]") -> None:
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_GRACE_SEC)
        while not task.done():
            watched.turn("wedged")
            await asyncio.wait([task], timeout=_CANCEL_GRACE_SEC)


async def wait_for_stop(stop: asyncio.Event, seconds: float) -> bool:
    """Sleeps, but not past the stop. True when stopping."""
    with anyio.move_on_after(seconds):
        await stop.wait()
        return True
    return False


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")
