"""uvicorn as a supervised task. It owns no signals and stops in two steps: the intake, then the requests in hand."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import metrics
from app.http.connections import IDLE_SEC, MOST, Connections
from app.http.drain import close_silent
from app.http.listener import BACKLOG, bind, retire
from app.http.protocol import Config, HttpProtocol
from app.http.proxies import behind_proxies
from app.supervisor import Progress, wait_for_stop

_BEAT_SEC: Final = 0.5

__all__ = ["bind", "serve"]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the process: uvicorn would catch SIGTERM and raise it again."""
        yield

    def stop_listening(self) -> None:
        for opened in getattr(self, "servers", ()):  # it has none before it listens
            opened.close()

    def abandon(self) -> None:
        """Takes no more connections and ends those that are open, each after its request.

        uvicorn does so only when it ends as told. What it left open would go on serving beside the next try.
        """
        self.stop_listening()
        for connection in list(self.server_state.connections):
            connection.shutdown()


async def serve(
    app: Any,
    listener: socket.socket,
    stop: asyncio.Event,
    progress: Progress,
    *,
    grace_sec: float,
    drain_sec: float,
    max_connections: int = MOST,
    trusted_proxies: Sequence[str] = (),
    protocol: type[HttpToolsProtocol] = HttpProtocol,
) -> None:
    """Serves until `stop`, then retires the listener, closes idle connections and answers the requests in hand, for at
    most `drain_sec`. Connections that are new then get `grace_sec` for their first request.

    `trusted_proxies`: addresses and networks whose `X-Forwarded-For` says where a request comes from. After a failure
    the listener stays open for the next try.
    """
    connections = Connections(max_connections)
    config = Config(
        behind_proxies(app, trusted_proxies) if trusted_proxies else app,
        connections,
        interface="asgi3",
        loop="none",
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE_SEC,
        backlog=BACKLOG,
        proxy_headers=False,  # by `behind_proxies`
    )
    server = _Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, server, connections, listener, stop, progress, grace_sec, drain_sec)
        try:
            # uvicorn closes the sockets it is given; a restart of this task needs the listener again.
            await server.serve(sockets=[listener.dup()])
        except BaseException:
            server.abandon()
            raise
        group.cancel_scope.cancel()


async def _watch(
    server: _Server,
    bounds: Connections,
    listener: socket.socket,
    stop: asyncio.Event,
    progress: Progress,
    grace_sec: float,
    drain_sec: float,
) -> None:
    """Beats, measures the loop's lag and ends late connections until `stop`, then ends the intake."""
    while True:
        due = time.monotonic() + _BEAT_SEC
        if await wait_for_stop(stop, _BEAT_SEC):
            break
        metrics.LOOP_LAG.observe(max(0.0, (time.monotonic() - due) * 1000))
        metrics.HTTP_CONNECTIONS.set(len(bounds))
        bounds.end_late()
        progress.beat()
    ends = time.monotonic() + drain_sec
    await retire(listener)
    server.stop_listening()
    connections = cast("set[HttpToolsProtocol]", server.server_state.connections)  # of the class given as `http`
    await close_silent(connections, new_sec=grace_sec, timeout_sec=drain_sec / 2)
    server.config.timeout_graceful_shutdown = max(1, round(ends - time.monotonic()))
    server.should_exit = True
