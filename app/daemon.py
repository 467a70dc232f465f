"""Runs what waits for a server in a thread that does not keep the process from its end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(ask: Callable[..., T], *arguments: object) -> "Future[T]":
    """Begins it. The answer, or the error, is in the future, which nobody can cancel."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask(*arguments))
        except BaseException as error:
            answer.set_exception(error)

    answer.set_running_or_notify_cancel()
    threading.Thread(target=run, daemon=True).start()
    return answer


async def in_daemon(ask: Callable[..., T], *arguments: object, within_sec: float) -> T:
    """What `ask` returns. Raises its errors, and `TimeoutError` when there is no answer in time."""
    async with asyncio.timeout(within_sec):
        return await asyncio.wrap_future(begin(ask, *arguments))
