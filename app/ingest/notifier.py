"""Notifies the relays of all processes of new rows in the outbox."""

import asyncio
from typing import Final

import anyio

from app.adapters import outbox
from app.adapters.postgres import Database
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop

_EVERY_SEC: Final = 0.02
_AGAIN_SEC: Final = 0.5
_BEAT_SEC: Final = 5.0


class Notifier:
    """`run` is the supervised task; `announce` asks for a notification and does not wait for it.

    It sends at most one every 20 ms, however many flushes there are. Without it a relay finds the rows at its next
    poll.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._announced = asyncio.Event()

    def announce(self) -> None:
        self._announced.set()

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        """Notifies until `stop`, and once more then, for what the last flush has stored."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notify_until(stop, progress))
            await stop.wait()
            self._announced.set()

    async def _notify_until(self, stop: asyncio.Event, progress: Progress) -> None:
        while True:
            progress.beat()
            with anyio.move_on_after(_BEAT_SEC):
                await self._announced.wait()
            if self._announced.is_set():
                try:
                    await self._notify()
                except DependencyDown as error:
                    progress.beat(f"waiting: {describe(error)}")
                    await wait_for_stop(stop, _AGAIN_SEC)
            if stop.is_set():
                return
            await wait_for_stop(stop, _EVERY_SEC)

    async def _notify(self) -> None:
        self._announced.clear()
        try:
            async with self._database.connection() as connection:
                await outbox.notify(connection)
        except BaseException:
            self._announced.set()  # stored rows are announced as soon as possible, also by the next run
            raise
