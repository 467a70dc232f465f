"""The processes of a rebuild: one that fails ends all at once, and says why if it can."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe

import pytest

from app.core.model import MODEL
from app.errors import DependencyDown, UserError
from app.rebuilding.processes import in_processes, watched
from app.rebuilding.slices import Job, check_parent
from tests.support.marks import ROOT


def jobs(count: int) -> list[Job]:
    return [
        Job(
            database_url="",
            number=number,
            of=count,
            model=MODEL,
            counted_until=datetime.now(UTC),
            erasure=0,
            dedupe_days=35.0,
            latest_ms=0,
        )
        for number in range(count)
    ]


def last_is_killed(job: Job, errors: Pipe) -> None:
    if job.number == job.of - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(600.0)


def last_fails(job: Job, errors: Pipe) -> None:
    if job.number == job.of - 1:
        sys.stderr.close()
        sys.exit(3)


def last_says_why(job: Job, errors: Pipe) -> None:
    if job.number == job.of - 1:
        errors.send("the disk is full")
        sys.exit(1)
    threading.Event().wait(600.0)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (last_is_killed, "a process was ended by signal 9; the machine may have had too little memory"),
        (last_fails, "a process ended with 3, and the lines above may say why"),
        (last_says_why, "the disk is full"),
    ],
)
async def test_process_that_ends_is_told_at_once(work, told: str) -> None:
    with pytest.raises(UserError, match=f"{told}. Run the same command again: it goes on where it stopped"):
        await in_processes(work, jobs(2))


_REBUILD = f"""
import asyncio
from app.rebuilding.processes import in_processes
from {__name__} import jobs, works_as_long_as_its_rebuild
asyncio.run(in_processes(works_as_long_as_its_rebuild, jobs(2)))
"""


def works_as_long_as_its_rebuild(job: Job, errors: Pipe) -> None:
    print("works", flush=True)
    while True:
        check_parent()
        time.sleep(0.01)


def test_processes_of_a_killed_rebuild_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _REBUILD], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as rebuild:
        assert rebuild.stdout is not None
        assert [rebuild.stdout.readline() for _ in range(2)] == ["works\n"] * 2
        rebuild.kill()
        # It ends with the last process that could write to it.
        said = rebuild.stdout.read()
    assert said.count("UserError: the rebuild that this process belongs to has ended") == 2


async def test_watch_that_fails_ends_what_it_watches() -> None:
    cause = ConnectionResetError()

    async def watch() -> None:
        raise DependencyDown("postgres", "the session is lost") from cause

    with pytest.raises(DependencyDown) as raised:
        async with watched(watch):
            await asyncio.Event().wait()
    assert raised.value.__cause__ is cause


async def test_watch_ends_with_what_it_watches() -> None:
    ended = asyncio.Event()

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with watched(watch):
        await asyncio.sleep(0)
    assert ended.is_set()
    with pytest.raises(KeyError):
        async with watched(watch):
            raise KeyError
