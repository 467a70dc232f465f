"""A job that is not done in each turn: statements that may be slow must not keep Postgres busy."""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from app.core.reload_throttle import ReloadThrottle
from app.errors import TooLarge

# The job takes at most a twenty-first of the time.
_PAUSE: Final = 20.0
# After Postgres has given it up for its time: asking again soon would keep it busy for nothing.
_AGAIN_SEC: Final = 300.0


class SpacedJob:
    """Does `job` at most every `every_sec`, and after a slow one later. `next_at`: by the monotonic clock."""

    def __init__(self, job: Callable[[], Awaitable[None]], *, every_sec: float = 0.0) -> None:
        self._job = job
        self._every_sec = every_sec
        self._throttle = ReloadThrottle(_PAUSE)
        self._failure: str | None = None
        """Why Postgres has given it up, until the next attempt."""
        self.next_at = -math.inf

    async def __call__(self) -> None:
        """Raises what the job does; after a failure for its time or memory in each call until the next attempt."""
        started = time.monotonic()
        if started < self.next_at:
            if self._failure is not None:
                raise TooLarge("postgres", self._failure)
            return
        self._failure = None
        try:
            await self._job()
        except TooLarge as error:
            self.next_at, self._failure = started + _AGAIN_SEC, error.reason
            raise
        self._throttle.ended(started=started, ended=time.monotonic())
        self.next_at = max(started + self._every_sec, self._throttle.next_at)
