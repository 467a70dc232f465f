"""Cancels tasks that exceed a common time limit, with one timer for the oldest of them.

`asyncio.timeout` sets a timer for every request, which costs as much as a twentieth of a recommendation.
"""

import asyncio
from types import TracebackType
from typing import Any


class Deadlines:
    """`with deadlines:` works as `asyncio.timeout` for the running task. Many tasks may be inside at once, each once.

    Raises `TimeoutError` in a task that is inside for longer than `after_sec` and has not called `lift`.
    """

    def __init__(self, after_sec: float) -> None:
        self._after_sec = after_sec
        self._inside: dict[asyncio.Task[Any] | None, float] = {}  # the oldest first
        self._late: set[asyncio.Task[Any] | None] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._inside[asyncio.current_task(loop)] = at = loop.time() + self._after_sec
        if self._timer is None:
            self._timer = loop.call_at(at, self._end_late)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task = asyncio.current_task()
        self._inside.pop(task, None)
        if task not in self._late:
            return
        self._late.remove(task)
        if task is None or task.uncancel() > 0:
            return
        if kind is asyncio.CancelledError:
            raise TimeoutError(f"not done within {self._after_sec:g} s") from error

    def lift(self) -> None:
        """The running task is in time, whatever it still does inside."""
        self._inside.pop(asyncio.current_task(), None)

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, at in list(self._inside.items()):
            if at > loop.time():
                self._timer = loop.call_at(at, self._end_late)
                return
            del self._inside[task]
            if task is not None:
                self._late.add(task)
                task.cancel()
