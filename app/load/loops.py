"""The two ways to send load.

Closed: each connection sends when its last answer has come, which finds the highest rate. Open: requests start at
times fixed beforehand, however slow the answers are, and a latency runs from the intended start, so that
a stall of the service counts for every request that it delayed ("coordinated omission", G. Tene, 2015).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.errors import describe
from app.load.client import Connection, connect
from app.load.latency import Latencies
from app.load.requests import Endpoint, RequestSource

_REQUEST_TIMEOUT_SEC: Final = 10.0
_SWEEP_SEC: Final = 0.05
_REPORT_SEC: Final = 0.5
_RECONNECT_SEC: Final = 0.1
_TICK_SEC: Final = 0.001
_KEPT_COMPLAINTS: Final = 20


class Window(Struct, frozen=True, kw_only=True):
    """How long is measured: at most `seconds` and until `max_good` events or reads went well, after a warm-up.

    Answers under way at the end are awaited for `grace_sec`, but not counted.
    """

    seconds: float
    max_good: int
    warmup_sec: float
    grace_sec: float = 5.0


class LoopCounts:
    """Counts inside the measured window; errors outside of it count too."""

    def __init__(self) -> None:
        self.latency = Latencies()
        self.requests = 0
        self.good = 0
        self.errors: Counter[str] = Counter()
        self.first_bodies: dict[str, str] = {}
        self.opens_at = 0.0
        self.closes_at = float("inf")

    def add(self, now: float, latency: float, good: int, complaint: str | None, body: bytes) -> None:
        if complaint is not None:
            self.complain(complaint, body)
        if self.opens_at <= now < self.closes_at:
            self.requests += 1
            self.good += good
            self.latency.record(latency)

    def complain(self, complaint: str, body: bytes) -> None:
        if complaint not in self.errors and len(self.errors) >= _KEPT_COMPLAINTS:
            complaint = "other"
        self.errors[complaint] += 1
        self.first_bodies.setdefault(complaint, body[:2000].decode(errors="replace"))


class _Loop(ABC):
    """Connections that come back when they break, and a deadline for each request."""

    def __init__(self, endpoint: Endpoint, source: RequestSource, counts: LoopCounts, connections: int) -> None:
        self._endpoint = endpoint
        self._source = source
        self._counts = counts
        self._wanted = connections
        self._connections: set[Connection] = set()
        self._reconnects: set[asyncio.Task[None]] = set()
        self.ended = False

    async def open(self) -> None:
        """Raises OSError when the service cannot be reached at all."""
        endpoint = self._endpoint
        try:
            opened = await asyncio.gather(*(connect(endpoint, self._answered) for _ in range(self._wanted)))
        except OSError as error:
            reason = f"the service at {endpoint.host}:{endpoint.port} no longer answers: {describe(error)}"
            raise ConnectionError(reason) from error
        for connection in opened:
            self._connections.add(connection)

    async def finish(self, grace_sec: float) -> None:
        """No more requests; waits for the answers under way, then closes."""
        self.ended = True
        deadline = time.perf_counter() + grace_sec
        while any(c.busy for c in self._connections) and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        for task in self._reconnects:
            task.cancel()
        for connection in list(self._connections):
            if connection.busy:
                connection.abort("unanswered at the end")
            connection.close()

    def sweep(self) -> None:
        """Ends requests past their deadline and replaces connections that the service closed while idle."""
        late = time.perf_counter() - _REQUEST_TIMEOUT_SEC
        for connection in list(self._connections):
            if connection.busy and connection.sent_at < late:
                connection.abort("timeout")
            elif connection.closed:
                self._replace(connection)

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        now = time.perf_counter()
        good, complaint = self._source.settle(connection.token, status, body)
        self._counts.add(now, now - self._started(connection), good, complaint, body)
        if connection.closed:
            self._replace(connection)
        else:
            self._ready(connection)

    def _replace(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self.ended:
            task = asyncio.ensure_future(self._reconnect())
            self._reconnects.add(task)
            task.add_done_callback(self._reconnects.discard)

    async def _reconnect(self) -> None:
        while not self.ended:
            try:
                connection = await connect(self._endpoint, self._answered)
            except OSError as error:
                self._counts.complain("cannot connect", describe(error).encode())
                await asyncio.sleep(_RECONNECT_SEC)
                continue
            self._connections.add(connection)
            self._ready(connection)
            return

    def _started(self, connection: Connection) -> float:
        return connection.sent_at

    @abstractmethod
    def _ready(self, connection: Connection) -> None:
        """The connection is free."""


class ClosedLoop(_Loop):
    """Sends without a pause on every connection, until ended or the source has no more."""

    def start(self) -> None:
        for connection in list(self._connections):
            self._ready(connection)

    def _ready(self, connection: Connection) -> None:
        request = None if self.ended else self._source.next()
        if request is None:
            self.ended = True
        else:
            connection.send(*request)


class OpenLoop(_Loop):
    """Starts `rate` requests a second. Those that find no free connection wait, and the wait counts."""

    def __init__(
        self, endpoint: Endpoint, source: RequestSource, counts: LoopCounts, connections: int, rate: float
    ) -> None:
        super().__init__(endpoint, source, counts, connections)
        self._rate = rate
        self._idle: deque[Connection] = deque()
        self._intended: dict[Connection, float] = {}
        self._begun_at = 0.0
        self._sent = 0

    def start(self) -> None:
        self._idle.extend(self._connections)
        self._begun_at = time.perf_counter()
        self._tick()

    def _tick(self) -> None:
        if not self.ended:
            self._send_due()
            asyncio.get_running_loop().call_later(_TICK_SEC, self._tick)

    def _send_due(self) -> None:
        now = time.perf_counter()
        while self._idle and not self.ended:
            intended = self._begun_at + self._sent / self._rate
            if intended > now:
                break
            connection = self._idle.popleft()
            if connection.closed:
                continue  # the service closed it while idle; the sweep replaces it
            request = self._source.next()
            if request is None:
                self.ended = True
                break
            self._sent += 1
            self._intended[connection] = intended
            connection.send(*request)

    def _started(self, connection: Connection) -> float:
        return self._intended.pop(connection)

    def _ready(self, connection: Connection) -> None:
        self._idle.append(connection)
        self._send_due()


async def measure(
    loop: ClosedLoop | OpenLoop,
    counts: LoopCounts,
    window: Window,
    report: Callable[[LoopCounts], None],
) -> float:
    """Runs the loop for a warm-up and then the window; returns the window's length in seconds.

    `report` is called twice a second, for progress. Raises OSError when the service cannot be reached at all.
    """
    await loop.open()
    begun = time.perf_counter()
    counts.opens_at = begun + window.warmup_sec
    reported = begun
    loop.start()
    while not loop.ended:
        now = time.perf_counter()
        left = counts.opens_at + window.seconds - now
        if left <= 0 or counts.good >= window.max_good:
            break
        if now - reported >= _REPORT_SEC:
            reported = now
            report(counts)
        loop.sweep()
        await asyncio.sleep(min(_SWEEP_SEC, max(left, 0.001)))
    counts.closes_at = time.perf_counter()
    await loop.finish(window.grace_sec)
    return max(counts.closes_at - counts.opens_at, 1e-9)
