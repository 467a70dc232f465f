"""The client's own history of what it sent, and the comparison of it with what the service has stored and counted.

What must hold once all is quiet: accepted ids are stored; each stored id is counted once, so that histories and counts
are those of a fold of `events`; nothing waits in the outbox or in Kafka; the cache agrees with Postgres; dead rows and
dead letters are exactly the poison that was sent.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isclose
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import psycopg
from msgspec import structs

from app.core.features import Fold, ItemDelta, fold
from app.core.history import NO_HISTORY, History
from app.core.messages import decode_message
from app.core.pairing import PairTerms
from tests.faults.cached import check_cache, histories_of
from tests.faults.offsets import first_places, uncommitted
from tests.faults.sums import compare_sums, ids_by_user
from tests.support.service import eventually

Acknowledgement = Literal["accepted", "refused", "unknown"]

# An outage and a drain are told by 503; any other status is an error of ours.
_STATUSES: Final = frozenset({None, 200, 202, 503})
_UNCOUNTED: Final = (
    "SELECT count(*) FROM events AS e WHERE NOT EXISTS "
    "(SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id)"
)
_UNSTORED: Final = (
    "SELECT count(*) FROM feature_event_consumed AS c WHERE NOT EXISTS "
    "(SELECT FROM events AS e WHERE e.event_id = c.event_id)"
)
_EVENTS: Final = "SELECT event_id, user_id, payload::text FROM events ORDER BY received_at, event_id"
_REBUILT: Final = "SELECT generation > 1 FROM feature_generations WHERE state = 'serving'"
_USERS: Final = 12
_ITEMS: Final = 15
_PACE_SEC: Final = 0.02
_runs: Final = itertools.count()


class Client:
    """Posts single events and keeps what became of each id. In threads of its own between `with` and its end."""

    def __init__(self, url: str, *, threads: int = 1, users: int = _USERS, items: int = _ITEMS) -> None:
        self.outcomes: dict[str, Acknowledgement] = {}
        self.statuses: Counter[int | None] = Counter()
        self._bodies: dict[str, dict[str, Any]] = {}
        self._http = httpx.Client(base_url=url, timeout=15.0, verify=False)
        # A user does one thing after the other, so the events of one arrive in the order in which Kafka has them.
        self._turns = [threading.Lock() for _ in range(users)]
        self.run = f"r{next(_runs):04d}"
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._at_once = threads
        self._users = users
        self._items = items
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begins to send steadily, also after `finish`."""
        self._stop.clear()
        self._threads = [threading.Thread(target=self._send_steadily, daemon=True) for _ in range(self._at_once)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Stops sending; returns when the last answer is there."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)
        self._threads = []

    def close(self) -> None:
        self.finish()
        self._http.close()

    def send(self, count: int) -> list[str]:
        """Sends so many events now; returns their ids."""
        return [self._send_one(next(self._numbers)) for _ in range(count)]

    def send_batch(self, count: int) -> list[str]:
        """Sends so many events now in one batch; returns their ids."""
        ids = [self._make(next(self._numbers)) for _ in range(count)]
        self.post_batch(ids)
        return ids

    def post_batch(self, ids: Sequence[str]) -> list[str]:
        """Sends these events in one batch; returns the status of each, none when no answer came."""
        self.outcomes.update(dict.fromkeys(ids, "unknown"))
        try:
            answer = self._http.post("/log/batch", json={"events": [self._bodies[event_id] for event_id in ids]})
        except httpx.HTTPError:
            self.statuses[None] += 1
            return []
        self.statuses[answer.status_code] += 1
        if answer.status_code != 200:
            self.outcomes.update(dict.fromkeys(ids, "refused"))
            return []
        found = [result["status"] for result in answer.json()["results"]]
        assert set(found) <= {"accepted", "duplicate"}, found
        self.outcomes.update(dict.fromkeys(ids, "accepted"))
        return found

    def sent(self) -> int:
        return len(self.outcomes)

    def await_more(self, count: int) -> None:
        """Waits until so many more events have been answered, whatever the answer."""
        goal = self.sent() + count
        eventually(lambda: self.sent() >= goal, 60.0, lambda: f"answers: {self.statuses}")

    def settle(self) -> None:
        """Sends again, under their own ids, those that were not accepted, until each is: what a good client does."""
        eventually(lambda: self.repeat() == 0, 30.0, lambda: f"{self.statuses}")

    def repeat(self) -> int:
        """Sends once more those that were not accepted; returns how many of them still are not."""
        left = [event_id for event_id, outcome in self.outcomes.items() if outcome != "accepted"]
        return sum(self._post(event_id) != "accepted" for event_id in left)

    def accepted(self) -> set[str]:
        return {event_id for event_id, outcome in list(self.outcomes.items()) if outcome == "accepted"}

    def _send_steadily(self) -> None:
        while not self._stop.wait(_PACE_SEC):
            self._send_one(next(self._numbers))

    def _send_one(self, number: int) -> str:
        event_id = self._make(number)
        with self._turns[number % self._users]:
            self._post(event_id)
        return event_id

    def _make(self, number: int) -> str:
        event_id = f"{self.run}-{number:06d}"
        self._bodies[event_id] = {
            "event_id": event_id,
            "event_type": ("view", "click", "purchase")[number % 3],
            "user_id": f"user-{number % self._users}",
            "session_id": "s1",
            "item_id": f"item-{number * 7 % self._items}",
        }
        return event_id

    def _post(self, event_id: str) -> Acknowledgement:
        try:
            answer = self._http.post("/event", json=self._bodies[event_id])
        except httpx.HTTPError:
            self.statuses[None] += 1
            self.outcomes[event_id] = "unknown"
            return "unknown"
        self.statuses[answer.status_code] += 1
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
    dead_rows: int = 0,
    also_counted: int = 0,
    environment: Mapping[str, str] | None = None,
    thinned: bool = False,
) -> None:
    """Waits until the service is quiet and everything adds up.

    `also_counted`: good messages that bypassed the API. `thinned`: pairs of some events may be thinned. With
    `environment`, the group's offsets are checked too.
    """
    assert set(client.statuses) <= _STATUSES, client.statuses
    with psycopg.connect(database_url, autocommit=True) as connection:
        stored = {row[0] for row in connection.execute("SELECT event_id FROM events").fetchall()}
        lost = client.accepted() - stored
        assert not lost, f"acknowledged events are not stored: {sorted(lost)[:10]}"

        def state() -> dict[str, Any]:
            # In the direction of the events: what has left one place is in the next when that is read.
            return {
                "pending": _one(connection, "SELECT count(*) FROM event_outbox WHERE status = 'pending'"),
                "uncommitted": {} if environment is None else uncommitted(environment),
                "stored and not counted": _one(connection, _UNCOUNTED),
                "counted and not stored": _one(connection, _UNSTORED),
                "dead_letters": _one(connection, "SELECT count(*) FROM feature_consumer_dlq"),
            }

        wanted = {
            "pending": 0,
            "stored and not counted": 0,
            "counted and not stored": also_counted,
            "dead_letters": dead_letters,
            "uncommitted": {},
        }
        eventually(lambda: state() == wanted, within_sec, lambda: f"{state()}, wanted {wanted}")
        assert _one(connection, "SELECT count(*) FROM event_outbox") == dead_rows, "dead rows"
        if not also_counted:
            compare_with_a_fold(connection, {} if environment is None else first_places(environment), thinned=thinned)
    check_cache(database_url=database_url, redis_url=redis_url, within_sec=within_sec)


def check_service(client: Client, environment: Mapping[str, str], *, within_sec: float, **expected: int) -> None:
    """`check` of the service that runs with this environment, Kafka's offsets included."""
    check(
        client,
        database_url=environment["DATABASE_URL"],
        redis_url=environment["ONLINE_CACHE_REDIS_URL"],
        within_sec=within_sec,
        environment=environment,
        **expected,
    )


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


def compare_with_a_fold(
    connection: psycopg.Connection, places: Mapping[str, int] | None = None, *, thinned: bool = False
) -> None:
    """Histories and sums are those of one pass over `events`. Sums of weights may differ in their last digits.

    `places`: in which order events were counted. Without that of all of them, sums that depend on it are not compared;
    nor when `reco rebuild`, which counts in the order of arrival, has met another order of some user's events.
    """
    found = connection.execute(_EVENTS.encode()).fetchall()
    in_order = places is not None and all(event_id in places for event_id, _, _ in found)
    if places is not None and in_order:
        arrived = ids_by_user(found)
        found.sort(key=lambda event: places[event[0]])
        in_order = ids_by_user(found) == arrived or not _one(connection, _REBUILT)
    messages = [decode_message(payload.encode()) for _, _, payload in found]
    folded = fold(messages, {})
    stored = {user_id: history for user_id, (_, history) in histories_of(connection).items()}
    histories = {user_id: history for user_id, history in stored.items() if history != NO_HISTORY}
    assert histories.keys() == folded.histories.keys(), "histories are not those of the events"
    for user_id, history in histories.items():
        assert _alike(history, folded.histories[user_id]), f"history of {user_id} is not that of the events"
    columns = [name for name, value in structs.asdict(ItemDelta()).items() if isinstance(value, int)]
    rows = connection.execute(f"SELECT item_id, {', '.join(columns)} FROM item_stats".encode()).fetchall()
    counted = {row[0]: row[1:] for row in rows if any(row[1:])}
    once = {item_id: tuple(getattr(delta, name) for name in columns) for item_id, delta in folded.items.items()}
    assert counted == once, "counted otherwise than once"
    thin = fold(messages, {}, onto=Fold(pairs=PairTerms(thinned=True))) if thinned else None
    compare_sums(connection, folded, in_order=in_order, thinned=thin)


def _alike(one: History, other: History) -> bool:
    """The same entries. The weights of earlier events are sums, whose last digits depend on the order."""
    return (
        one.seen_hashes == other.seen_hashes
        and [structs.replace(entry, other_weight=0) for entry in one.entries]
        == [structs.replace(entry, other_weight=0) for entry in other.entries]
        and all(
            isclose(a.other_weight, b.other_weight, rel_tol=1e-9)
            for a, b in zip(one.entries, other.entries, strict=True)
        )
    )
