"""Erasure while eight clients write for the user, with an API host whose clock is right, behind or ahead."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest

from app.core.history import decode_history
from app.devstack.ports import choose
from tests.support.clock import off_by
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import PATIENT

HOUR_SEC: Final = 3600
_WRITERS: Final = 8
_BEFORE: Final = 5
_AFTER: Final = 3
_SHOWN: Final = 50  # what a history holds


class Sent:
    """An event with when it was sent and answered, by this process' monotonic clock."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        self.sent_at = time.monotonic()
        self.answered_at = float("inf")
        self.status = 0


class Writers:
    """Eight clients that post events of one user, each event for an item of its own with the event's id. Their clocks
    are right.
    """

    def __init__(self, url: str, user_id: str) -> None:
        self.sent: list[Sent] = []
        self._url = url
        self._user_id = user_id
        self._first_ms = int((time.time() - 60) * 1000)
        self._numbers = itertools.count()
        self._stop = threading.Event()

    def answered(self, since: float = 0.0) -> int:
        """Events that were sent since then and have been answered."""
        return sum(one.sent_at >= since and one.status != 0 for one in tuple(self.sent))

    @contextmanager
    def writing(self) -> Iterator[None]:
        with ThreadPoolExecutor(_WRITERS) as threads:
            writers = [threads.submit(self._write) for _ in range(_WRITERS)]
            try:
                yield
            finally:
                self._stop.set()
            for writer in writers:
                writer.result(30.0)

    def _write(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20.0) as client:
            while not self._stop.is_set():
                number = next(self._numbers)
                one = Sent(f"{self._user_id}-{number:05d}")
                self.sent.append(one)
                answer = client.post("/event", json=self._body(one.event_id, self._first_ms + number))
                one.answered_at, one.status = time.monotonic(), answer.status_code

    def _body(self, event_id: str, ts_ms: int) -> dict[str, Any]:
        named = {"event_id": event_id, "user_id": self._user_id, "session_id": "s", "item_id": event_id}
        return {**named, "event_type": "view", "ts_ms": ts_ms}


@pytest.fixture(params=[0, -HOUR_SEC, HOUR_SEC], ids=["clock right", "an hour behind", "an hour ahead"])
def api(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    """The API with its clock; the relay and the consumer with the right one."""
    front = off_by({**environment, **PATIENT, "ROLE": "api"}, request.param, tmp_path)
    back = {**environment, "ROLE": "relay,consumer", "HTTP_PORT": str(choose())}
    with running(front) as service, running(back) as behind:
        eventually(behind.reads_all, 60.0, behind.describe)
        yield service


@pytest.mark.slow
def test_each_event_around_an_erasure_is_stored_and_counted_or_neither(api: Service, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as database:
        for repeat in range(4):
            user_id = f"user-{repeat}"
            writers = Writers(api.url, user_id)
            with writers.writing():
                eventually(lambda writers=writers: writers.answered() >= _WRITERS * _BEFORE)
                erase_sent_at = time.monotonic()
                assert api.client.delete(f"/users/{user_id}").status_code == 200
                erased_at = time.monotonic()
                stored_then = _stored(database, user_id)
                eventually(lambda writers=writers, at=erased_at: writers.answered(at) >= _WRITERS * _AFTER)
            assert {one.status for one in writers.sent} == {202}
            before = {one.event_id for one in writers.sent if one.answered_at < erase_sent_at}
            after = {one.event_id for one in writers.sent if one.sent_at > erased_at}
            assert len(before) >= _WRITERS * _BEFORE
            assert len(after) >= _WRITERS * _AFTER
            assert not before & stored_then.keys()
            _await_quiet(database, api)

            stored = _stored(database, user_id)
            assert not before & stored.keys()
            assert after <= stored.keys()
            newest = sorted(stored, key=stored.__getitem__)[-_SHOWN:]
            assert _history(database, user_id) == set(newest)
            assert _consumed(database, user_id) == stored.keys()
        # Those of whose rows a relay held some at the time take longer.
        unfinished = "SELECT count(*) FROM user_erasures WHERE unfinished"
        eventually(lambda: database.execute(unfinished).fetchone() == (0,), 40.0, api.describe)


def test_an_erasure_is_finished_by_the_running_service(environment: dict[str, str], database_url: str) -> None:
    """As one is left whose process died after its first step."""
    with psycopg.connect(database_url, autocommit=True) as database, running(environment) as service:
        for user_id in ("ann", "bob"):
            event = {"user_id": user_id, "session_id": "s", "item_id": "alien", "event_type": "view"}
            assert service.client.post("/event", json=event).status_code == 202
        database.execute(
            "INSERT INTO user_erasures (user_id, erased_at, unfinished) VALUES ('ann', now() - interval '1 hour', TRUE)"
        )
        eventually(lambda: not _stored(database, "ann"), 30.0, service.describe)
        assert len(_stored(database, "bob")) == 1


def _stored(database: psycopg.Connection[Any], user_id: str) -> Mapping[str, int]:
    """The ids of the user's events, with their times."""
    return dict(database.execute("SELECT event_id, ts_ms FROM events WHERE user_id = %s", (user_id,)).fetchall())


def _history(database: psycopg.Connection[Any], user_id: str) -> set[str]:
    row = database.execute("SELECT history FROM user_history WHERE user_id = %s", (user_id,)).fetchone()
    return {entry.item_id for entry in decode_history(row[0]).entries} if row and row[0] else set()


def _consumed(database: psycopg.Connection[Any], user_id: str) -> set[str]:
    found = database.execute(
        "SELECT event_id FROM feature_event_consumed WHERE event_id LIKE %s", (f"{user_id}-%",)
    ).fetchall()
    return {event_id for (event_id,) in found}


def _await_quiet(database: psycopg.Connection[Any], api: Service) -> None:
    """Until all that is stored is published and counted."""
    uncounted = (
        "SELECT (SELECT count(*) FROM event_outbox) + (SELECT count(*) FROM events AS e WHERE NOT EXISTS "
        "(SELECT FROM feature_event_consumed AS c WHERE c.event_id = e.event_id))"
    )
    eventually(lambda: database.execute(uncounted).fetchone() == (0,), 5.0, api.describe)
