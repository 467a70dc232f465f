"""Writes of one turn of the loop leave together, in order, and none is lost by a close."""

import asyncio

from app.http.coalescing_transport import CoalescingTransport


class Recorded(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.sent: list[bytes | None] = []
        self.closing = False
        self.unread = 0

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.sent.append(None)
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return self.unread


async def test_writes_of_one_loop_turn_are_sent_as_one() -> None:
    transport = Recorded()
    writes = CoalescingTransport(transport, asyncio.get_running_loop(), lambda: None)
    writes.write(b"head")
    writes.write(b"body")
    assert transport.sent == []
    await asyncio.sleep(0)
    assert transport.sent == [b"headbody"]
    writes.write(b"next")
    await asyncio.sleep(0)
    assert transport.sent == [b"headbody", b"next"]


async def test_a_close_sends_first_what_was_written() -> None:
    transport = Recorded()
    writes = CoalescingTransport(transport, asyncio.get_running_loop(), lambda: None)
    writes.write(b"last words")
    writes.close()
    assert transport.sent == [b"last words", None]
    await asyncio.sleep(0)
    assert transport.sent == [b"last words", None]


async def test_a_close_tells_when_the_client_has_not_read_all() -> None:
    transport = Recorded()
    told: list[str] = []
    CoalescingTransport(transport, asyncio.get_running_loop(), lambda: told.append("unread")).close()
    assert told == []
    transport.unread = 5
    CoalescingTransport(transport, asyncio.get_running_loop(), lambda: told.append("unread")).close()
    assert told == ["unread"]


async def test_nothing_is_sent_to_a_client_that_left_meanwhile() -> None:
    transport = Recorded()
    CoalescingTransport(transport, asyncio.get_running_loop(), lambda: None).write(b"too late")
    transport.closing = True
    await asyncio.sleep(0)
    assert transport.sent == []


async def test_all_else_is_the_transports_own() -> None:
    writes = CoalescingTransport(Recorded(), asyncio.get_running_loop(), lambda: None)
    assert writes.get_extra_info("peername") == ("127.0.0.1", 1)
