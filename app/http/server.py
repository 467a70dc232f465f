"""uvicorn as a supervised task: it owns no signals, and it stops in two steps, first intake, then what is in hand."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import metrics
from app.http.coalescing_transport import HttpProtocol
from app.http.listener import BACKLOG, bind, retire
from app.supervisor import Progress

_BEAT_SEC: Final = 0.5

__all__ = ["bind", "serve"]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals have one owner, and it is not the server: uvicorn would catch SIGTERM and raise it again."""
        yield


async def serve(
    app: Any,
    listener: socket.socket,
    stop: asyncio.Event,
    progress: Progress,
    *,
    drain_sec: float,
    protocol: type[HttpToolsProtocol] = HttpProtocol,
) -> None:
    """Serves until `stop`, then retires the listener and answers what is in hand, at most `drain_sec` long.

    When it ends otherwise the listener stays open, for the next try.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=65,  # above the 60 s of common load balancers, so that it is they who close
        timeout_graceful_shutdown=max(1, round(drain_sec)),
        backlog=BACKLOG,
    )
    server = _Server(config)
    # uvicorn closes the sockets it is given; a restart of this task needs the listener again.
    serving = asyncio.create_task(server.serve(sockets=[listener.dup()]))
    stopping = asyncio.create_task(stop.wait())
    try:
        while not serving.done() and not stopping.done():
            due = time.monotonic() + _BEAT_SEC
            await asyncio.wait([serving, stopping], timeout=_BEAT_SEC, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not stopping.done():
                metrics.LOOP_LAG.observe(max(0.0, (time.monotonic() - due) * 1000))
            progress.beat()
        if stopping.done() and not serving.done():
            await retire(listener)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        if not serving.done():
            serving.cancel()
            await asyncio.wait([serving])
