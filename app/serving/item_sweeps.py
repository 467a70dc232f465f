"""When a process looks which items no list holds any more: in a task of its own, so that no answer waits for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from app.core.item_index import ItemIndex
from app.errors import DependencyDown


class ItemSweeps:
    """Runs `sweep` at most every `every_sec`, while `index` has more than `most` items."""

    def __init__(self, sweep: Callable[[], Awaitable[None]], index: ItemIndex, *, most: int, every_sec: float) -> None:
        self._sweep = sweep
        self._index = index
        self._most = most
        self._every_sec = every_sec
        self._next_at = time.monotonic() + every_sec
        self._task: asyncio.Task[None] | None = None

    def begin_if_due(self) -> None:
        """For the end of each load that may have numbered items."""
        is_running = self._task is not None and not self._task.done()
        if len(self._index.items) > self._most and time.monotonic() >= self._next_at and not is_running:
            self._task = asyncio.create_task(self._run())

    async def ended(self) -> None:
        """Waits for the one that is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await self.ended()

    async def _run(self) -> None:
        with suppress(DependencyDown):  # the next one is as good, and loads of lists fail meanwhile, too
            await self._sweep()
        self._next_at = time.monotonic() + self._every_sec
