"""Runs the parts of a rebuild in processes of their own, and says how far they are."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection as Pipe
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
    """Runs `work` for each job in a process of its own. Raises `UserError` with what went wrong in one of them."""
    context = multiprocessing.get_context("spawn")  # not fork: the children must not share this process's connections
    processes = []
    try:
        for job in jobs:
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(job, sending))
            process.start()
            sending.close()
            processes.append((process, receiving))
        for process, receiving in processes:
            while process.is_alive():
                await asyncio.sleep(POLL_SEC)
            if process.exitcode:
                text = receiving.recv() if receiving.poll() else f"a process ended with {process.exitcode}"
                raise UserError(f"{text}. Run the same command again: it goes on where it stopped")
    finally:
        for process, receiving in processes:
            process.kill()  # what it had not committed, it had not done
            process.join()
            receiving.close()


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
    """Runs `watch` beside the block; its errors are raised at the end of the block."""
    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
