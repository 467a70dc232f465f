"""A connection that is closed before its client has read all is told of."""

import asyncio

from app.http.watched_transport import WatchedTransport


class Recorded(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent: list[bytes | None] = []
        self.unread = 0

    def is_closing(self) -> bool:
        return None in self.sent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.sent.append(None)

    def get_write_buffer_size(self) -> int:
        return self.unread


def test_a_close_tells_when_the_client_has_not_read_all() -> None:
    transport = Recorded()
    told: list[str] = []
    WatchedTransport(transport, lambda: told.append("unread")).close()
    assert told == []
    transport.unread = 5
    WatchedTransport(transport, lambda: told.append("unread")).close()
    assert told == ["unread"]


def test_all_else_is_the_transports_own() -> None:
    transport = Recorded()
    watched = WatchedTransport(transport, lambda: None)
    watched.write(b"last words")
    assert not watched.is_closing()
    watched.close()
    assert watched.is_closing()
    watched.write(b"nobody reads this")
    assert transport.sent == [b"last words", None]
    assert watched.get_extra_info("peername") == ("127.0.0.1", 1)
