"""Closes kept connections at the end of a drain without losing a request that is on its way."""

import asyncio
from collections.abc import Set as AbstractSet
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.idle import end_idle

_LOOK_EVERY_SEC: Final = 0.02


async def close_silent(connections: AbstractSet[HttpToolsProtocol], *, new_sec: float, timeout_sec: float) -> None:
    """Closes the connections that are idle. Call it when no new ones are accepted, and each answer says that it is the
    connection's last.

    A connection without a request so far is new: its client gets `new_sec` to send one. Returns when the only
    connections left have a request in hand, after `timeout_sec` at the latest.
    """
    now = asyncio.get_running_loop().time
    began = now()
    while now() - began < timeout_sec:
        waits = False
        for connection in list(connections):
            if connection.transport.is_closing() or _has_request(connection):
                continue
            idle = _is_kept(connection) or (_is_new(connection) and now() - began >= new_sec)
            if not idle or not end_idle(connection.transport):
                waits = True
        if not waits:
            return
        await asyncio.sleep(_LOOK_EVERY_SEC)


def _has_request(connection: HttpToolsProtocol) -> bool:
    return connection.cycle is not None and not connection.cycle.response_complete


def _is_kept(connection: HttpToolsProtocol) -> bool:
    """Whether nothing has arrived since an answer: the first byte of a request makes a scope."""
    return connection.cycle is not None and connection.scope is connection.cycle.scope


def _is_new(connection: HttpToolsProtocol) -> bool:
    """Whether nothing has ever arrived: the first byte makes the list of headers."""
    return connection.headers is None
