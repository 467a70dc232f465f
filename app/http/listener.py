"""The listening socket: opened so that several processes may share a port, and closed without losing a connection."""

import asyncio
import ctypes
import socket
import struct
import sys
from typing import Final

import anyio

from app.errors import UserError

BACKLOG: Final = 2048

# Longer than a handshake and the first request of a new connection take; within the client's first SYN retry (1 s).
_SETTLE_SEC: Final = 0.15
# A busy event loop accepts late. Beyond this it is stuck, and waiting does not help.
_ACCEPT_SEC: Final = 1.0
_LOOK_EVERY_SEC: Final = 0.01
_TCP_UNACKED_AT: Final = 24  # after eight bytes of flags and four numbers of four bytes
_SO_ATTACH_FILTER: Final = 26  # Linux; the socket module has no name for it

# Classic BPF over the TCP header: drop segments with SYN but not ACK, keep the others.
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # A = the byte of flags
    (0x54, 0, 0, 0x12),  # A &= SYN | ACK
    (0x15, 0, 1, 0x02),  # is it SYN alone?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0x40000),  # else keep it
)


def bind(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A socket for `serve`. Raises `UserError` when the port is taken.

    On a port of its own it listens at once: who connects waits until the process has started. On a shared port the
    server listens, once it accepts, or else the kernel would hand this process connections that others can answer now.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(
            f"Cannot listen on {host}:{port}: {error.strerror}. "
            "Set HTTP_PORT to a free port, or end what uses this one."
        ) from error
    if not reuse_port:
        listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


async def retire(listener: socket.socket) -> None:
    """Closes the listener once its queue is empty, while the server still accepts from a duplicate of it.

    The caller then closes the duplicate.

    Closing a socket resets the connections in its queue, also with SO_REUSEPORT. So it first drops new ones: the
    client's kernel sends those again a second later, to another listener. Connections that are under way are accepted
    and answered meanwhile. Only Linux has the filter for that; elsewhere the race remains.
    """
    if _stop_hearing(listener):
        await asyncio.sleep(_SETTLE_SEC)
        with anyio.move_on_after(_ACCEPT_SEC):
            while _queued(listener):
                await asyncio.sleep(_LOOK_EVERY_SEC)
    listener.close()


def _queued(listener: socket.socket) -> int:
    """How many connections wait to be accepted: `tcpi_unacked` of `struct tcp_info`, as Linux fills it."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_UNACKED_AT + 4)
    (count,) = struct.unpack_from("I", info, _TCP_UNACKED_AT)
    return int(count)


def _stop_hearing(listener: socket.socket) -> bool:
    if sys.platform != "linux":
        return False
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    kept = ctypes.create_string_buffer(code)  # the kernel copies it before setsockopt returns
    program = struct.pack("HL", len(_DROP_SYN), ctypes.addressof(kept))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False  # a sandbox without it
    return True
