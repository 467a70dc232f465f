"""Tasks that are cancelled when their time is up, all with the same time: one timer for the oldest is enough for all.

`asyncio.timeout` is a timer of its own for every request, which takes as long as a twentieth of a recommendation.
"""

import asyncio
from typing import Any


class Deadlines:
    """Who `enter`s must `leave`; until then his task is cancelled once, `after_sec` from then."""

    def __init__(self, after_sec: float) -> None:
        self._after_sec = after_sec
        self._open: dict[asyncio.Task[Any], float] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def enter(self) -> "asyncio.Task[Any]":
        """The running task, for `leave`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("there is no task that a deadline could end")
        loop = asyncio.get_running_loop()
        self._open[task] = at = loop.time() + self._after_sec
        if self._timer is None:
            self._timer = loop.call_at(at, self._pass)
        return task

    def leave(self, task: "asyncio.Task[Any]") -> bool:
        """Whether the task was cancelled for its deadline, and by nobody else."""
        if self._open.pop(task, None) is not None:
            return False
        return task.uncancel() == 0

    def _pass(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for task, at in list(self._open.items()):
            if at > now:
                self._timer = loop.call_at(at, self._pass)
                return
            del self._open[task]
            task.cancel()
