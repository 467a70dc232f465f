"""Events instead of sleeps: each test waits for what the task itself tells."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app import metrics, supervisor
from app.supervisor import Progress, Supervisor, TaskSpec
from tests.support.pipeline import counted


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_BASE_SEC", 0.001)
    monkeypatch.setattr(supervisor, "_RESTART_MAX_SEC", 0.002)
    monkeypatch.setattr(supervisor, "_CHECK_EVERY_SEC", 0.01)
    monkeypatch.setattr(supervisor, "_CANCEL_GRACE_SEC", 0.05)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged, before it is rendered."""
    with structlog.testing.capture_logs() as lines:
        yield lines


class Recorder:
    """A task that fails `failures` times and then works until it is stopped."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.starts = 0
        self.well = asyncio.Event()

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise ValueError(f"failure {self.starts}")
        self.well.set()
        await stop.wait()


async def test_a_task_that_fails_restarts_alone() -> None:
    before = counted(metrics.TASK_RESTARTS, task="weak")
    weak, strong = Recorder(failures=3), Recorder()
    tasks = Supervisor([TaskSpec("weak", weak.run), TaskSpec("strong", strong.run)])
    tasks.start()
    await asyncio.gather(weak.well.wait(), strong.well.wait())
    report = tasks.report()
    assert (weak.starts, strong.starts) == (4, 1)
    assert report["weak"].restarts == 3
    assert counted(metrics.TASK_RESTARTS, task="weak") == before + 3
    assert report["weak"].error == "ValueError: failure 3"
    assert (report["strong"].restarts, report["strong"].error) == (0, None)
    await tasks.stop("weak", "strong")
    assert {entry.state for entry in tasks.report().values()} == {"stopped"}


async def test_crash_is_one_error_line_with_its_traceback(lines: list[Any]) -> None:
    weak = Recorder(failures=1)
    tasks = Supervisor([TaskSpec("weak", weak.run)])
    tasks.start()
    await weak.well.wait()
    await tasks.stop("weak")
    (line,) = lines
    assert (line["log_level"], line["event"], line["task"]) == ("error", "task_restarts", "weak")
    assert line["error"] == "ValueError: failure 1"
    assert line["exc_info"].__traceback__.tb_next.tb_frame.f_code.co_name == "run"


async def test_crash_in_a_group_is_reported_by_its_own_error() -> None:
    started = asyncio.Semaphore(0)

    async def fail() -> None:
        raise ValueError("bad row")

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        started.release()
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    tasks = Supervisor([TaskSpec("grouped", run)])
    tasks.start()
    await started.acquire()
    await started.acquire()
    assert tasks.report()["grouped"].error == "ValueError: bad row"
    await tasks.stop("grouped")


async def test_a_task_that_returns_before_it_is_told_to_has_crashed() -> None:
    calls = asyncio.Semaphore(0)

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        calls.release()

    tasks = Supervisor([TaskSpec("short", run)])
    tasks.start()
    for _ in range(3):
        await calls.acquire()
    assert tasks.report()["short"].error == "returned before it was told to stop"
    await tasks.stop("short")


async def test_a_task_without_progress_is_cancelled_and_restarted(lines: list[Any]) -> None:
    starts = asyncio.Semaphore(0)

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        starts.release()
        await asyncio.Event().wait()

    tasks = Supervisor([TaskSpec("stuck", run, stall_sec=0.02)])
    tasks.start()
    await starts.acquire()
    await starts.acquire()
    assert "no progress" in (tasks.report()["stuck"].error or "")
    assert tasks.wedged() == []
    await tasks.cancel()
    frame = lines[0]["exc_info"].__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    assert frame.tb_frame.f_code.co_name == "wait"  # the log shows where it stood still


async def test_a_task_that_beats_is_left_alone() -> None:
    beats = asyncio.Semaphore(0)
    starts = 0

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        nonlocal starts
        starts += 1
        while not stop.is_set():
            progress.beat("waiting for kafka")
            beats.release()
            await asyncio.sleep(0.005)

    tasks = Supervisor([TaskSpec("alive", run, stall_sec=1.0)])
    tasks.start()
    for _ in range(20):
        await beats.acquire()
    assert starts == 1
    assert tasks.report()["alive"].detail == "waiting for kafka"
    await tasks.stop("alive")


async def test_a_task_that_ignores_its_cancellation_is_wedged() -> None:
    release = asyncio.Event()

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks = Supervisor([TaskSpec("deaf", run, stall_sec=0.01)])
    tasks.start()
    async with asyncio.timeout(10):
        while not tasks.wedged():
            await asyncio.sleep(0.01)
    assert tasks.report()["deaf"].state == "wedged"
    assert "no progress" in (tasks.report()["deaf"].error or "")
    release.set()
    await tasks.stop("deaf")
    assert tasks.wedged() == []


async def test_stop_waits_for_the_work_in_hand() -> None:
    done: list[str] = []
    started = asyncio.Event()
    finish = asyncio.Event()

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        started.set()
        await stop.wait()
        await finish.wait()
        done.append("batch")

    tasks = Supervisor([TaskSpec("worker", run)])
    tasks.start()
    await started.wait()
    stopping = asyncio.create_task(tasks.stop("worker"))
    await asyncio.sleep(0)
    assert not stopping.done()
    finish.set()
    await stopping
    assert done == ["batch"]


async def test_task_that_does_not_finish_in_time_is_cancelled_and_closes_what_it_holds() -> None:
    started, closed = asyncio.Event(), asyncio.Event()

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.set()

    tasks = Supervisor([TaskSpec("worker", run)])
    tasks.start()
    await started.wait()
    await tasks.stop("worker", finish_sec=0.01)
    await tasks.ended()
    assert closed.is_set()
    assert tasks.report()["worker"].state == "stopped"


async def test_task_whose_work_fails_is_failing_and_runs_on() -> None:
    reported = asyncio.Event()

    async def run(stop: asyncio.Event, progress: Progress) -> None:
        for number in range(1, 4):
            progress.failed(f"error {number}")
        reported.set()
        await stop.wait()
        progress.worked()

    gauge = {"scope": "task", "check": "worker"}
    tasks = Supervisor([TaskSpec("worker", run, work="degrades")])
    tasks.start()
    await reported.wait()
    entry = tasks.report()["worker"]
    assert (entry.state, entry.error, entry.need, entry.restarts) == ("failing", "error 3", "degrades", 0)
    assert counted(metrics.API_CHECK, **gauge) == 0
    assert counted(metrics.TASK_RUNNING, task="worker") == 1
    await tasks.stop("worker")
    assert (tasks.report()["worker"].state, tasks.report()["worker"].need) == ("stopped", "required")
