"""Finds accepted events that were not counted within a bound.

A deleted topic, messages that expired before they were read, or skipped offsets leave such events: each is stored, and
nothing will ever count it, until `reco replay events` sends it again. Each event is looked at once, when it is as old
as the bound. The ids of uncounted ones are kept, and looked at again until they are counted, given up or erased.

What becomes as old while the process runs is looked at first in each turn. What was so at its start, up to a week back,
has the time that is left: a week of many events takes hours, and no newly lost event may wait for it.
"""

import time
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

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


def step_after(step: timedelta, looked_at: timedelta, took_sec: float) -> timedelta:
    """As `next_step`, when the last statement covered `looked_at`. A quick look at a part says nothing of the whole."""
    return next_step(step, took_sec) if took_sec > _STEP_SEC or looked_at >= step else step


def given_up(step: timedelta) -> timedelta:
    """How much the next statement covers after one that Postgres gave up. Quiet hours make long steps, and the busy one
    after them may be far more than fits.
    """
    return max(_SHORTEST_STEP, step / 4)


class _Span(Struct):
    """Times of receipt, from `begin` to before `end`, that are still to be looked at. `step`: how much of them next."""

    begin: datetime
    end: datetime
    step: timedelta = _FIRST_STEP


class UncountedEvents:
    """`look` is one turn of the task `maintenance`; each process looks for itself."""

    def __init__(self, database: Database, *, within_sec: float) -> None:
        self._database = database
        self._within = timedelta(seconds=within_sec)
        self._known: set[str] = set()
        self._new: _Span | None = None
        self._past: _Span | None = None
        self._again: list[str] = []
        """Known ones that are still to be looked at again in this round."""
        self._again_at = 0.0
        self._at_once = MAX_KNOWN

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
        try:
            await self._turn()
        finally:
            metrics.EVENTS_UNCOUNTED.set(len(self._known))
        return len(self._known)

    async def _turn(self) -> None:
        try:
            await self._look_again()
        finally:  # new ones do not wait until known ones can be looked at
            async with self._database.connection() as connection:
                due = await postgres.now(connection) - self._within
            await self._look_out(due)

    async def _look_again(self) -> None:
        """Forgets known ones that are settled by now. If they are too many for one statement, it takes some turns."""
        started = time.monotonic()
        if not self._again and started >= self._again_at:
            self._again, self._again_at = list(self._known), started + _AGAIN_EVERY_SEC
        while self._again and time.monotonic() - started < _TURN_SEC:
            some = self._again[-self._at_once :]
            before = time.monotonic()
            try:
                async with self._database.connection() as connection:
                    left = await uncounted.still(connection, some)
            except TooLarge:
                self._at_once = max(1, len(some) // 2)
                if len(some) == 1:
                    raise
                return  # new ones must not wait for a second statement that is given up
            if time.monotonic() - before < _STEP_SEC:
                self._at_once = min(MAX_KNOWN, self._at_once * 2)
            del self._again[-len(some) :]
            self._known.difference_update(set(some).difference(left))

    async def _look_out(self, due: datetime) -> None:
        """Looks at what was received before `due` and has not been looked at."""
        started = time.monotonic()
        if self._new is None or self._past is None:
            self._new, self._past = _Span(due, due), _Span(due - _LOOK_BACK, due)
        self._new.end, self._past.begin = due, due - _LOOK_BACK
        while len(self._known) < MAX_KNOWN and time.monotonic() - started < _TURN_SEC:
            if self._new.begin < self._new.end:
                await self._look_at_first(self._new)
            elif self._past.begin < self._past.end:
                await self._look_at_last(self._past)
            else:
                return

    async def _look_at_first(self, span: _Span) -> None:
        until = min(span.end, span.begin + span.step)
        if await self._look_at(span, span.begin, until):
            span.begin = until

    async def _look_at_last(self, span: _Span) -> None:
        # What was lost last, while no process ran, say, is told first.
        after = max(span.begin, span.end - span.step)
        if await self._look_at(span, after, span.end):
            span.end = after

    async def _look_at(self, span: _Span, begin: datetime, end: datetime) -> bool:
        """Looks at a step of the span; whether that was all of it, so that it need not be looked at again."""
        before = time.monotonic()
        try:
            async with self._database.connection() as connection:
                found = await uncounted.received_between(connection, begin, end, MAX_KNOWN)
        except TooLarge:
            span.step = given_up(end - begin)
            if end - begin <= _SHORTEST_STEP:
                raise
            return False
        span.step = step_after(span.step, end - begin, time.monotonic() - before)
        self._known.update(found)
        return len(found) < MAX_KNOWN  # otherwise there may be more, which are looked at when there is room
