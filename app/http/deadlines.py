"""Cancels tasks that exceed a common time limit, with one timer for the oldest of them.

`asyncio.timeout` sets a timer for every request, which costs as much as a twentieth of a recommendation.
"""

import asyncio
from types import TracebackType
from typing import Any, Self


class Deadlines:
    """`with deadlines.start():` works as `asyncio.timeout` for the running task. Many tasks may be inside at once.

    Raises `TimeoutError` in a task that is inside for longer than `after_sec` and whose deadline was not lifted.
    """

    def __init__(self, after_sec: float) -> None:
        self._after_sec = after_sec
        self._running: dict[Deadline, float] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> "Deadline":
        """Of the running task."""
        loop = asyncio.get_running_loop()
        deadline = Deadline(asyncio.current_task(loop), self._running)
        self._running[deadline] = at = loop.time() + self._after_sec
        if self._timer is None:
            self._timer = loop.call_at(at, self._end_late)
        return deadline

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for deadline, at in list(self._running.items()):
            if at > loop.time():
                self._timer = loop.call_at(at, self._end_late)
                return
            deadline.end()


class Deadline:
    """One task's. It keeps its task: to ask asyncio for it takes as long as all else here."""

    __slots__ = ("_is_late", "_running", "_task")

    def __init__(self, task: asyncio.Task[Any] | None, running: "dict[Deadline, float]") -> None:
        self._task = task
        self._running = running
        self._is_late = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.lift()
        if not self._is_late or self._task is None or self._task.uncancel() > 0:
            return
        if kind is asyncio.CancelledError:
            raise TimeoutError("the task's deadline has passed") from error

    def lift(self) -> None:
        """The task is in time, whatever it still does inside."""
        self._running.pop(self, None)

    def end(self) -> None:
        """Cancels the task, which is late."""
        self.lift()
        if self._task is not None:
            self._is_late = True
            self._task.cancel()
