"""How many connections may be open, and for how long a client may keep one of them waiting."""

import resource
import time
from typing import TYPE_CHECKING, Final

import structlog

from app import metrics
from app.http.idle import end_idle
from app.http.problem_codes import ProblemCode

if TYPE_CHECKING:
    from app.http.protocol import HttpProtocol

_log = structlog.get_logger(__name__)

# The head of a request, the rest of a body that was answered already, the reading of a last answer.
PATIENCE_SEC: Final = 10.0
IDLE_SEC: Final = 65
"""How long a connection is kept without a request: above the 60 s of common load balancers, so that the balancer closes
first."""
MOST: Final = 10_000
# Open files besides connections to clients and to Postgres: Kafka, Redis, modules, logs, room for a burst.
_OTHER_FILES: Final = 200
_LEAST: Final = 16
_FEW_FILES: Final = 4096
_LOG_EVERY_SEC: Final = 60.0


def allowed(wanted: int, pool_size: int) -> int:
    """The number of connections that `wanted` (0: as many as possible) and the process's limit of open files allow.

    A log line says so when the limit is low.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted or MOST
    most = max(_LEAST, files - pool_size - _OTHER_FILES)
    chosen = min(wanted or MOST, most)
    if wanted > most or files < _FEW_FILES:
        _log.warning("few_files", open_files_limit=files, max_connections=chosen, remedy="raise the limit (ulimit -n)")
    return chosen


class Connections:
    """The connections of a server. Call `end_late` about once a second, which costs a request less than its own timers.

    A new connection above the bound takes the place of one that gives the server nothing to do: the one that keeps it
    waiting for longest, or else the one that is idle for longest. Where all are busy, the new one is refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[HttpProtocol] = set()
        # The oldest first: nothing is inserted in another place, and the patience is the same for all.
        self._waiting_since: dict[HttpProtocol, float] = {}
        self._idle_since: dict[HttpProtocol, float] = {}
        self._logged_at = -_LOG_EVERY_SEC
        self._ended = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "HttpProtocol") -> None:
        self._open.add(connection)
        self.wait_for(connection)
        if len(self._open) > self._most:
            self._make_room(connection)

    def remove(self, connection: "HttpProtocol") -> None:
        self._open.discard(connection)
        self.settle(connection)
        self.resume(connection)

    def wait_for(self, connection: "HttpProtocol") -> None:
        """The server can do nothing for the connection until its client goes on."""
        if not connection.waits:
            connection.waits = True
            self._waiting_since[connection] = time.monotonic()

    def settle(self, connection: "HttpProtocol") -> None:
        """The client went on."""
        if connection.waits:
            connection.waits = False
            del self._waiting_since[connection]

    def rest(self, connection: "HttpProtocol") -> None:
        """The client has its answer, and asks for nothing."""
        self._idle_since[connection] = time.monotonic()

    def resume(self, connection: "HttpProtocol") -> None:
        """Something has arrived."""
        self._idle_since.pop(connection, None)

    def end_late(self) -> None:
        """Ends the connections whose clients had their time."""
        now = time.monotonic()
        for connection, since in list(self._idle_since.items()):
            if since > now - IDLE_SEC:
                break
            if not connection.transport.is_closing():
                end_idle(connection.transport)
        due = now - PATIENCE_SEC
        while self._waiting_since:
            connection, since = next(iter(self._waiting_since.items()))
            if since > due:
                return
            self.settle(connection)
            connection.end_late()

    def _make_room(self, new: "HttpProtocol") -> None:
        metrics.API_REFUSED.labels("connections").inc()
        self._ended += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_EVERY_SEC:
            _log.warning("connections_full", max_connections=self._most, ended=self._ended)
            self._logged_at, self._ended = now, 0
        oldest = next(iter(self._waiting_since))
        if oldest is not new:
            self.settle(oldest)
            oldest.abort()
            return
        if not any(end_idle(other.transport) for other in list(self._idle_since)):
            detail = f"All {self._most} connections of this process are in use."
            new.refuse(ProblemCode.TOO_MANY_CONNECTIONS, detail, headers=b"retry-after: 1\r\n")
