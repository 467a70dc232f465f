"""Something that takes long to make, for any number of callers."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_REST: Final = 4  # times as long as the making

T = TypeVar("T")


class SharedMaking(Generic[T]):
    """Calls `make` after it was asked for, once for all who ask until it begins, and for at most a fifth of the time.

    So nobody can keep the process busy by asking often, and a result is never older than its request.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._rests_until = 0.0
        self._next: asyncio.Task[T] | None = None

    async def result(self) -> T:
        """Raises what `make` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._make_next())
        return await asyncio.shield(self._next)

    async def _make_next(self) -> T:
        await asyncio.sleep(self._rests_until - time.monotonic())
        self._next = None
        begun = time.monotonic()
        try:
            return self._make()
        finally:
            ended = time.monotonic()
            self._rests_until = ended + _REST * (ended - begun)
