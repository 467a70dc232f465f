"""Keeps the sums behind `/analytics/baseline` up to date, in short slices that do not delay other statements."""

import time
from datetime import timedelta
from typing import Final

from app import metrics
from app.adapters import analytics, experiments
from app.adapters.postgres import Database
from app.errors import DependencyDown

_LONGEST: Final = timedelta(hours=1)
_SHORTEST: Final = timedelta(milliseconds=50)
_FIRST: Final = timedelta(seconds=10)
_QUICK_SEC: Final = 0.3
_SLOW_SEC: Final = 1.5
_TURN_SEC: Final = 5.0
# No slice reaches beyond an open transaction. The service's own are shorter.
_HELD_SEC: Final = 60.0


class Rollup:
    """`catch_up` is one turn. Any number of processes may take turns: a row lock admits one at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._length = _FIRST
        self._held_by: analytics.OpenTransaction | None = None

    @property
    def detail(self) -> str | None:
        """What an operator should know; None while no transaction has been open for long."""
        if (held := self._held_by) is None:
            return None
        return (
            f"the roll-up of analytics waits for a transaction that has been open for {held.open_sec} s, of user "
            f"{held.user}, application {held.application!r}; it goes on when that ends, and "
            f"`SELECT pg_terminate_backend({held.pid})` ends it"
        )

    async def catch_up(self) -> int:
        """Rolls up settled events for a few seconds at most; returns their number.

        Raises `DependencyDown`; the failed slice is then not in the sums, and the next one is shorter.
        """
        events = 0
        ends = time.monotonic() + _TURN_SEC
        while time.monotonic() < ends:
            started = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    done = await analytics.roll_up(connection, self._length)
            except DependencyDown:
                self._length = max(_SHORTEST, self._length / 4)
                raise
            elapsed = time.monotonic() - started
            metrics.STAGE_LATENCY.labels("analytics_rollup").observe(elapsed * 1000)
            self._length = _next_length(self._length, elapsed)
            if done is None:
                break
            events += done.events
            if done.done:
                break
        async with self._database.connection() as connection:
            await experiments.settle(connection)
            self._held_by = await analytics.read_oldest_open(connection, _HELD_SEC)
        return events


def _next_length(length: timedelta, elapsed_sec: float) -> timedelta:
    if elapsed_sec < _QUICK_SEC:
        return min(_LONGEST, length * 2)
    return max(_SHORTEST, length / 2) if elapsed_sec > _SLOW_SEC else length
