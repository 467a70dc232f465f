"""Two API processes on one port: both serve, and each drains under load without a failed request."""

import asyncio
import signal
from dataclasses import dataclass, field

import asyncpg
import pytest

from tests.support.service import Service, running
from tests.support.shared_environment import PATIENT

_CONNECTIONS = 16


@dataclass
class Load:
    """Clients that send events over connections they keep, and open a new one only when told to close."""

    port: int
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    stopped: bool = False

    async def client(self, name: int) -> None:
        while not self.stopped:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                while not self.stopped and await self.send(reader, writer, name):
                    pass
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
            finally:
                writer.close()

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: int) -> bool:
        """One event; False when the server wants the connection closed."""
        event_id = f"event-{name:03}-{self.sent:08}"
        self.sent += 1
        body = b'{"event_id":"%b","user_id":"u","session_id":"s","item_id":"i","event_type":"view"}' % event_id.encode()
        writer.write(b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        if not head.startswith(b"http/1.1 202"):
            self.failures.append(head.decode())
        return b"connection: close" not in head


@pytest.mark.slow
async def test_each_of_two_drains_without_a_failed_request(environment: dict[str, str]) -> None:
    shared = {**environment, "ROLE": "api", "HTTP_REUSE_PORT": "true", "SHUTDOWN_GRACE_SEC": "0.5"}
    shared |= PATIENT
    load = Load(int(environment["HTTP_PORT"]))
    with running(shared) as first, running(shared) as second:
        clients = [asyncio.create_task(load.client(number)) for number in range(_CONNECTIONS)]
        await some_more(load)
        await end(first)
        await some_more(load)
        with running(shared) as third:
            await some_more(load)
            await end(second)
            await some_more(load)
            load.stopped = True
            await asyncio.wait_for(asyncio.gather(*clients), 30)
            await end(third)
    assert load.failures == []
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    assert await connection.fetchval("SELECT count(*) FROM events") == load.sent
    await connection.close()


async def some_more(load: Load) -> None:
    wanted = load.sent + 300
    async with asyncio.timeout(30):
        while load.sent < wanted:
            await asyncio.sleep(0.01)


async def end(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(service.process.wait, 30) == 0, service.log()
