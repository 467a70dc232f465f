"""Tells when a connection is closed whose client has not read all that was sent: it stays open until then."""

import asyncio
from collections.abc import Callable
from typing import Any


class WatchedTransport:
    """A transport that calls `on_unread` then, and passes everything else on. Writes within one turn of uvloop's loop
    leave together.
    """

    def __init__(self, transport: asyncio.Transport, on_unread: Callable[[], None]) -> None:
        self._transport = transport
        self._on_unread = on_unread
        # Of the class it would be a call more for each answer.
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Drops what nobody can read any more: uvloop raises for a connection that was ended in the same turn."""
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._on_unread()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
