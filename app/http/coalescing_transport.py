"""Sends the writes to a connection within one turn of the event loop as one.

An ASGI server writes an answer's head and its body separately. The extra system call and the extra wake-up of the
client cost as much as a fifth of a recommendation.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class CoalescingTransport:
    """A transport that buffers writes until the loop's next turn, and passes everything else on."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)

    def close(self) -> None:
        """Closes the transport after sending the buffered writes."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        # The client may have left meanwhile.
        if kept and not self._transport.is_closing():
            self._transport.write(b"".join(kept))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a coalescing transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = CoalescingTransport(transport, self.loop)  # type: ignore[assignment]
