"""Runs the parts of a rebuild in processes of their own, and says how far they are."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import building
from app.errors import UserError
from app.rebuilding.slices import Job

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

POLL_SEC: Final = 0.2


class Report(Struct, frozen=True):
    """What a screen shows: what is being done, and of how many (`unit`) how many are done."""

    stage: str
    done: int
    total: int
    unit: str = "events"


Show = Callable[[Report], None]


async def in_processes(work: Callable[[Job, Pipe], None], jobs: Sequence[Job]) -> None:
    """Runs `work` for each job in a process of its own. Raises `UserError` with what went wrong in the first of them
    that fails; the others are ended then.
    """
    # Not fork: the children must not share this process's connections. `reco rebuild` has one process import for all.
    context = multiprocessing.get_context("forkserver")
    processes: list[tuple[BaseProcess, Pipe]] = []
    try:
        for job in jobs:
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(job, sending))
            process.start()
            sending.close()
            processes.append((process, receiving))
        runs = True
        while runs:
            await asyncio.sleep(POLL_SEC)
            runs = any(child.is_alive() for child, _ in processes)
            for child, said in processes:
                if child.exitcode:
                    text = _why_ended(child.exitcode, said)
                    raise UserError(f"{text}. Run the same command again: it goes on where it stopped")
    finally:
        for child, said in processes:
            child.kill()  # what it had not committed, it had not done
            child.join()
            said.close()


def _why_ended(code: int, receiving: Pipe) -> str:
    try:
        if receiving.poll():
            return str(receiving.recv())
    except EOFError:
        pass  # it could say nothing
    if code < 0:
        return f"a process was ended by signal {-code}; the machine may have had too little memory"
    return f"a process ended with {code}, and the lines above may say why"


@asynccontextmanager
async def shown(stage: str, live: "Connection", total: int, show: Show) -> AsyncIterator[None]:
    """Shows inside of the block how many events the slices have folded."""

    async def watch() -> None:
        while True:
            found = await building.slices(live)
            show(Report(stage, sum(part.events for part in found), total))
            await asyncio.sleep(POLL_SEC)

    async with watched(watch):
        yield


@asynccontextmanager
async def watched(watch: Callable[[], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Runs `watch` beside the block; an error of either ends both, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            yield
            watching.cancel()
    except ExceptionGroup as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__
