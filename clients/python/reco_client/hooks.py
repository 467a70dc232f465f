"""The moments of a process that its clients must not miss: its end, and a fork."""

import atexit
import os
import weakref
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing import util as multiprocessing


class ProcessHooks:
    """Calls `at_end` when the process ends, and `in_child` first in a process that is forked from it."""

    def __init__(self, at_end: Callable[[], None], in_child: Callable[[], None]) -> None:
        """Both are methods of the object that keeps these hooks."""
        self._at_end = at_end
        self._in_child = weakref.WeakMethod(in_child)
        self._finalizer: multiprocessing.Finalize | None = None
        atexit.register(at_end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_weak(self._in_child))
        # A child of multiprocessing ends without atexit, and forgets finalizers that were made before the fork.
        multiprocessing.register_after_fork(self, ProcessHooks._finalize)
        if parent_process() is not None:
            self._finalize()

    def _finalize(self) -> None:
        self._finalizer = multiprocessing.Finalize(None, self._at_end, exitpriority=100)

    def cancel(self) -> None:
        """The end of the process is of no interest any more."""
        atexit.unregister(self._at_end)
        if self._finalizer is not None:
            self._finalizer.cancel()


def _weak(method: "weakref.WeakMethod[Callable[[], None]]") -> Callable[[], None]:
    """Python keeps what is called after a fork for ever: it must not keep a client."""

    def call() -> None:
        if (found := method()) is not None:
            found()

    return call
