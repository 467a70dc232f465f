"""A user's own events show in the next request for the user, over two API processes, whatever the consumer does."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Final

import asyncpg
import pytest
import redis

from app.adapters import features
from app.adapters.history_cache import Versioned
from app.core import cache_entry, own_writes
from app.core.own_writes import OwnWrite
from app.devstack import Stack
from app.devstack.ports import choose
from tests.support.database import ask
from tests.support.redis_servers import own_redis
from tests.support.service import Service, eventually, running
from tests.support.shared_environment import PATIENT

_ITEMS: Final = [f"item-{number}" for number in range(6)]
_CLIENTS: Final = 4
_PAIRS_EACH: Final = 250


def has_items(service: Service) -> None:
    body = {"items": [{"item_id": item_id, "title": item_id} for item_id in _ITEMS]}
    assert service.client.post("/items", json=body).status_code == 200
    eventually(lambda: set(_ITEMS) <= set(served(service, "nobody")))


def served(service: Service, user_id: str) -> list[str]:
    answer = service.client.get("/reco", params={"user_id": user_id, "repeats": "avoid"})
    assert answer.status_code == 200, answer.text
    return [item["item_id"] for item in answer.json()["items"]]


def buys(service: Service, user_id: str, item_id: str) -> None:
    event = {"user_id": user_id, "session_id": "s", "item_id": item_id, "event_type": "purchase"}
    answer = service.client.post("/event", json=event)
    assert answer.status_code == 202, answer.text


class Shopper:
    """Writes to one process and reads from the other, in turns, on connections that it keeps."""

    def __init__(self, number: int, services: list[Service]) -> None:
        self._number = number
        self._ports = [int(service.environment["HTTP_PORT"]) for service in services]
        self.missed: list[str] = []

    def shop(self, pairs: Iterator[int]) -> None:
        with ExitStack() as stack:
            opened = [HTTPConnection("127.0.0.1", port, timeout=15.0) for port in self._ports]
            connections = [stack.enter_context(closing(connection)) for connection in opened]
            for pair in pairs:
                writer, reader = connections[pair % 2], connections[1 - pair % 2]
                user_id, item_id = f"user-{self._number}-{pair % 50}", _ITEMS[pair % 5]
                event = {"user_id": user_id, "session_id": "s", "item_id": item_id, "event_type": "purchase"}
                writer.request("POST", "/event", json.dumps(event))
                with writer.getresponse() as answer:
                    assert answer.status == 202, answer.read()
                    answer.read()
                reader.request("GET", f"/reco?user_id={user_id}&repeats=avoid")
                with reader.getresponse() as answer:
                    found = [item["item_id"] for item in json.loads(answer.read())["items"]]
                if item_id in found:
                    self.missed.append(f"{user_id} {item_id}")


def all_shop(shoppers: list[Shopper], first: int, last: int) -> None:
    with ThreadPoolExecutor(len(shoppers)) as threads:
        for _ in threads.map(lambda shopper: shopper.shop(iter(range(first, last))), shoppers):
            pass


def own_logs(environment: dict[str, str]) -> dict[str, list[OwnWrite]]:
    """What Redis holds of own writes, by user."""
    prefix = f"{environment['KAFKA_TOPIC_PREFIX']}reco:own.v1:"
    with redis.Redis.from_url(environment["ONLINE_CACHE_REDIS_URL"]) as client:
        keys = list(client.scan_iter(f"{prefix}*", count=1000))
        logs = {key.decode().removeprefix(prefix): client.get(key) for key in keys}
    # The head of an entry names its epoch.
    entries = {user_id: cache_entry.decode(log, log[: cache_entry.EPOCH_BYTES]) for user_id, log in logs.items() if log}
    return {user_id: own_writes.decode(entry[1]) for user_id, entry in entries.items() if entry}


def waiting(environment: dict[str, str]) -> dict[str, list[OwnWrite]]:
    """The own writes in Redis that no stored history counts yet. One that reached Redis later than the consumer counted
    it stays there for its hour, and adds nothing.
    """
    found = {}
    for user_id, writes in own_logs(environment).items():
        stored = ask(environment["DATABASE_URL"], f"SELECT max(history) FROM user_history WHERE user_id = '{user_id}'")
        history = features.history_of(Versioned(0, stored) if stored else None)
        found[user_id] = own_writes.uncounted(history, writes)
    return {user_id: left for user_id, left in found.items() if left}


@pytest.mark.slow
def test_each_event_shows_in_the_next_request_to_another_process(environment: dict[str, str]) -> None:
    # What is not shared with Redis in time shows here alone.
    api = {**environment, **PATIENT, "ROLE": "api"}
    worker = {**environment, "ROLE": "relay,consumer", "HTTP_PORT": str(choose())}
    with running(api) as one, running({**api, "HTTP_PORT": str(choose())}) as other:
        has_items(one)
        has_items(other)
        shoppers = [Shopper(number, [one, other]) for number in range(_CLIENTS)]
        # Nothing is counted at first; then what waits is counted while more comes.
        all_shop(shoppers, 0, 50)
        assert len(waiting(environment)) == 50 * _CLIENTS
        with running(worker) as counting:
            all_shop(shoppers, 50, _PAIRS_EACH)
            assert [shopper.missed for shopper in shoppers] == [[]] * _CLIENTS
            eventually(lambda: not waiting(environment), 60.0, counting.describe)
            assert len(own_logs(environment)) < 50 * _CLIENTS
            assert set(served(one, "user-0-7")) == set(served(other, "user-0-7"))


async def test_own_events_go_with_the_erasure_of_their_user(environment: dict[str, str]) -> None:
    with running({**environment, "ROLE": "api", "ONLINE_CACHE_REDIS_TIMEOUT_SEC": "10"}) as one:
        has_items(one)
        buys(one, "ann", _ITEMS[0])
        buys(one, "bob", _ITEMS[0])
        assert _ITEMS[0] not in served(one, "ann")
        assert one.client.delete("/users/ann").status_code == 200
        assert _ITEMS[0] in served(one, "ann")
        assert _ITEMS[0] not in served(one, "bob")
        # What comes after the erasure counts again.
        buys(one, "ann", _ITEMS[1])
        assert _ITEMS[1] not in served(one, "ann")
        assert _ITEMS[0] in served(one, "ann")


@pytest.mark.slow
async def test_without_redis_a_process_remembers_its_own_events(environment: dict[str, str], stack: Stack) -> None:
    with own_redis(stack) as own:
        away = {**environment, "ONLINE_CACHE_REDIS_URL": own.redis_url}
        with running(away) as service:
            has_items(service)
            own.redis.kill()
            for number in range(50):
                buys(service, f"user-{number}", _ITEMS[number % 5])
                assert _ITEMS[number % 5] not in served(service, f"user-{number}")
            # Another process erases: the number of the erasure is in Postgres.
            buys(service, "ann", _ITEMS[0])
            with running({**away, "HTTP_PORT": str(choose()), "ROLE": "api"}) as other:
                assert other.client.delete("/users/ann").status_code == 200
            assert _ITEMS[0] in served(service, "ann")
            connection = await asyncpg.connect(environment["DATABASE_URL"])
            try:
                assert await connection.fetchval("SELECT count(*) FROM events") == 50
            finally:
                await connection.close()
