"""Finds accepted events that were not counted within a bound.

A deleted topic, messages that expired before they were read, or skipped offsets leave such events: each is stored, and
nothing will ever count it, until `reco replay events` sends it again. Each event is looked at once, when it is as old
as the bound. The ids of uncounted ones are kept, and looked at again until they are counted, given up or erased.
"""

import time
from datetime import datetime, timedelta
from typing import Final

from app import metrics
from app.adapters import postgres, uncounted
from app.adapters.postgres import Database
from app.core.replay import LOOK_BACK_DAYS
from app.errors import TooLarge

MAX_KNOWN: Final = 10_000
"""So many ids are kept; the look-out for more waits until there is room."""

_LOOK_BACK: Final = timedelta(days=LOOK_BACK_DAYS)
_SHORTEST_STEP: Final = timedelta(milliseconds=50)
_FIRST_STEP: Final = timedelta(seconds=10)
_LONGEST_STEP: Final = timedelta(hours=6)
# A step that takes longer than this is halved the next time, and one that takes less is doubled.
_STEP_SEC: Final = 0.1
_TURN_SEC: Final = 0.5
_AGAIN_EVERY_SEC: Final = 10.0


def next_step(step: timedelta, took_sec: float) -> timedelta:
    """How much time of receipt the next statement covers, so that each takes about as long, whatever the load was."""
    if took_sec > _STEP_SEC:
        return max(min(step, _FIRST_STEP), step / 2)
    return min(_LONGEST_STEP, step * 2)


def given_up(step: timedelta) -> timedelta:
    """How much the next statement covers after one that Postgres gave up. Quiet hours make long steps, and the busy one
    after them may be far more than fits.
    """
    return max(_SHORTEST_STEP, step / 4)


class UncountedEvents:
    """`look` is one turn of the task `maintenance`; each process looks for itself."""

    def __init__(self, database: Database, *, within_sec: float) -> None:
        self._database = database
        self._within = timedelta(seconds=within_sec)
        self._known: set[str] = set()
        self._looked_at: datetime | None = None
        self._step = _FIRST_STEP
        self._again_at = 0.0

    @property
    def detail(self) -> str | None:
        """What an operator should know; None when every event was counted in time."""
        if not self._known:
            return None
        count = f"{len(self._known)}{' or more' if len(self._known) >= MAX_KNOWN else ''}"
        return (
            f"{count} accepted events were not counted within {self._within.total_seconds():g} s; if the consumer has "
            "no lag, they are lost in Kafka, and `reco replay events` counts them"
        )

    async def look(self) -> int:
        """Looks at events that are as old as the bound by now; returns how many are known not to be counted.

        Raises `DependencyDown`.
        """
        started = time.monotonic()
        async with self._database.connection() as connection:
            if self._known and started >= self._again_at:
                self._known = set(await uncounted.still(connection, self._known))
                self._again_at = started + _AGAIN_EVERY_SEC
            due = await postgres.now(connection) - self._within
        begin = self._looked_at or due - _LOOK_BACK
        while begin < due and len(self._known) < MAX_KNOWN and time.monotonic() - started < _TURN_SEC:
            end = min(due, begin + self._step)
            before = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    found = await uncounted.received_between(connection, begin, end, MAX_KNOWN)
            except TooLarge:
                self._step = given_up(end - begin)
                if end - begin <= _SHORTEST_STEP:
                    raise
                continue
            self._step = next_step(self._step, time.monotonic() - before)
            self._known.update(found)
            if len(found) < MAX_KNOWN:  # otherwise there may be more, which are looked at when there is room
                begin = self._looked_at = end
        metrics.EVENTS_UNCOUNTED.set(len(self._known))
        return len(self._known)
