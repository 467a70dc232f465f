"""The client's own history of what it sent, and the comparison of it with what the service has stored and counted.

What must hold once all is quiet: accepted ids are stored; each stored id is counted once; the outbox is empty; the
cache agrees with Postgres; dead letters are exactly the poison that was sent.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import psycopg
import redis

from app.core.history import decode_history
from tests.support.service import eventually

Acknowledgement = Literal["accepted", "refused", "unknown"]

_HISTORY_KEYS: Final = "reco:history:"
_VERSION_BYTES: Final = 8
_USERS: Final = 12
_ITEMS: Final = 15
_PACE_SEC: Final = 0.02
_runs: Final = itertools.count()


class Client:
    """Posts single events and keeps what became of each id. In a thread of its own between `with` and its end."""

    def __init__(self, url: str) -> None:
        self.outcomes: dict[str, Acknowledgement] = {}
        self.statuses: Counter[int | None] = Counter()
        self._bodies: dict[str, dict[str, Any]] = {}
        self._http = httpx.Client(base_url=url, timeout=15.0)
        self._run = f"r{next(_runs):04d}"
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._send_steadily, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def finish(self) -> None:
        """Stops sending."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30.0)
            self._thread = None

    def close(self) -> None:
        self.finish()
        self._http.close()

    def send(self, count: int) -> list[str]:
        """Sends so many events now; returns their ids."""
        return [self._send_one(next(self._numbers)) for _ in range(count)]

    def sent(self) -> int:
        return len(self.outcomes)

    def await_more(self, count: int) -> None:
        """Waits until so many more events have been answered, whatever the answer."""
        goal = self.sent() + count
        eventually(lambda: self.sent() >= goal, 60.0, lambda: f"answers: {self.statuses}")

    def settle(self) -> None:
        """Sends again, under their own ids, those that were not accepted, until each is: what a good client does."""
        for event_id in [event_id for event_id, outcome in self.outcomes.items() if outcome != "accepted"]:
            eventually(lambda event_id=event_id: self._post(event_id) == "accepted", 30.0, lambda: f"{self.statuses}")

    def accepted(self) -> set[str]:
        return {event_id for event_id, outcome in list(self.outcomes.items()) if outcome == "accepted"}

    def _send_steadily(self) -> None:
        while not self._stop.wait(_PACE_SEC):
            self._send_one(next(self._numbers))

    def _send_one(self, number: int) -> str:
        event_id = f"{self._run}-{number:06d}"
        self._bodies[event_id] = {
            "event_id": event_id,
            "event_type": ("view", "click", "purchase")[number % 3],
            "user_id": f"user-{number % _USERS}",
            "session_id": "s1",
            "item_id": f"item-{number * 7 % _ITEMS}",
        }
        self._post(event_id)
        return event_id

    def _post(self, event_id: str) -> Acknowledgement:
        try:
            answer = self._http.post("/event", json=self._bodies[event_id])
        except httpx.HTTPError:
            self.statuses[None] += 1
            self.outcomes[event_id] = "unknown"
            return "unknown"
        self.statuses[answer.status_code] += 1
        assert answer.status_code in (200, 202, 503), answer.text
        outcome: Acknowledgement = "accepted" if answer.status_code in (200, 202) else "refused"
        self.outcomes[event_id] = outcome
        return outcome


def check(
    client: Client,
    *,
    database_url: str,
    redis_url: str,
    within_sec: float,
    dead_letters: int = 0,
    also_counted: int = 0,
) -> None:
    """Waits until the service is quiet and everything adds up. `also_counted`: good messages that bypassed the API."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        stored = {row[0] for row in connection.execute("SELECT event_id FROM events").fetchall()}
        assert client.accepted() <= stored, "an acknowledged event is not stored"

        def state() -> dict[str, Any]:
            return {
                "pending": _one(connection, "SELECT count(*) FROM event_outbox WHERE status = 'pending'"),
                "consumed": _one(connection, "SELECT count(*) FROM feature_event_consumed"),
                "dead_letters": _one(connection, "SELECT count(*) FROM feature_consumer_dlq"),
            }

        wanted = {
            "pending": 0,
            "consumed": len(stored) + also_counted,
            "dead_letters": dead_letters,
        }
        eventually(lambda: state() == wanted, within_sec, lambda: f"{state()}, wanted {wanted}")
        assert _one(connection, "SELECT count(*) FROM event_outbox") == 0, "a row turned dead"
        if not also_counted:
            counted = _counts(
                connection,
                "SELECT item_id, views, clicks, purchases FROM item_stats WHERE views > 0 OR "
                "clicks > 0 OR purchases > 0",
            )
            once = _counts(
                connection,
                "SELECT payload ->> 'item_id', count(*) FILTER (WHERE event_type = 'view'), "
                "count(*) FILTER (WHERE event_type = 'click'), count(*) FILTER (WHERE event_type = 'purchase') "
                "FROM events GROUP BY 1",
            )
            assert counted == once, "counted otherwise than once"
        eventually(lambda: not _stale(connection, redis_url), within_sec, lambda: _stale(connection, redis_url))


def dead_values(database_url: str) -> Counter[bytes | None]:
    """The bytes of the dead letters."""
    with psycopg.connect(database_url) as connection:
        return Counter(row[0] for row in connection.execute("SELECT value FROM feature_consumer_dlq").fetchall())


@contextmanager
def client_of(url: str) -> Iterator[Client]:
    """A client that does not send by itself."""
    client = Client(url)
    try:
        yield client
    finally:
        client.close()


def _one(connection: psycopg.Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def _counts(connection: psycopg.Connection, statement: str) -> Mapping[str, tuple[int, ...]]:
    return {row[0]: tuple(row[1:]) for row in connection.execute(statement.encode()).fetchall()}


def _stale(connection: psycopg.Connection, redis_url: str) -> list[str]:
    """Users whose cached history is not the stored one."""
    found = connection.execute("SELECT user_id, version, history FROM user_history").fetchall()
    stored = {user_id: (version, decode_history(history) if history else ()) for user_id, version, history in found}
    with redis.Redis.from_url(redis_url) as cache:
        stale = []
        for key in cache.scan_iter(_HISTORY_KEYS + "*"):
            value = cache.get(key)
            if value is None:
                continue
            user_id = key.decode().removeprefix(_HISTORY_KEYS)
            history = decode_history(value[_VERSION_BYTES:]) if value[_VERSION_BYTES:] else ()
            version = int.from_bytes(value[:_VERSION_BYTES], "big")
            if (version, history) != stored.get(user_id, (0, ())):
                stale.append(user_id)
        return stale
