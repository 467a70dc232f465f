"""Ends an idle connection without resetting a request that is on its way."""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios


def end_idle(transport: asyncio.Transport) -> bool:
    """Closes a connection without a request in hand. False when something has arrived that is not read yet.

    The client is told at once. A transport closes its socket in a later turn of the event loop: a request that arrives
    until then would be reset, although its client has looked whether the connection is open. What the client sends
    before it is told is a request that was on its way, which the client of a kept connection has to expect (RFC 9112,
    9.5).
    """
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() != -1:
        with socket.socket(raw.family, raw.type, raw.proto, fileno=os.dup(raw.fileno())) as same:
            (unread,) = struct.unpack("i", fcntl.ioctl(same.fileno(), termios.FIONREAD, bytes(4)))
            if unread:
                return False
            if not transport.get_write_buffer_size():
                with contextlib.suppress(OSError):  # the client has ended it
                    same.shutdown(socket.SHUT_WR)
    transport.close()
    return True
