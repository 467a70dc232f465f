"""Sends the writes to a connection within one turn of the event loop as one.

An ASGI server writes an answer's head and its body separately. The extra system call and the extra wake-up of the
client cost as much as a fifth of a recommendation.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class CoalescingTransport:
    """A transport that buffers writes until the loop's next turn, and passes everything else on.

    `on_unread` is called when it is closed and the client has not read all that was sent: the connection stays open
    until then.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, on_unread: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._on_unread = on_unread
        self._kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)

    def close(self) -> None:
        """Closes the transport after sending the buffered writes."""
        self._flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._on_unread()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._kept))

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        # The client may have left meanwhile.
        if kept and not self._transport.is_closing():
            self._transport.write(b"".join(kept))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
