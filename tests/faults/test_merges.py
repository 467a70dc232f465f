"""A process dies while it joins ids of one person under load: nothing is lost or doubled, and one call erases both."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from app.core.history import decode_history
from tests.faults.checker import Client, check_service
from tests.faults.proxy import Direction, proxied_url
from tests.faults.roles import role
from tests.support.service import Service, eventually, running

ACCOUNT, VISITOR = "user-0", "user-1"


@pytest.mark.slow
@pytest.mark.parametrize("held", ["request", "response"], ids=["before the commit", "after the commit"])
def test_api_killed_while_it_joins_two_ids(environment: dict[str, str], database_url: str, held: Direction) -> None:
    """Whether the link was made nobody knows; asked again, it is there once, and the account's lists have it."""
    with (
        running(role(environment, "relay,consumer")) as workers,
        running(role(environment, "api")) as api,
        proxied_url(database_url) as (proxy, url),
        running(role(environment, "api", DATABASE_URL=url)) as dying,
        Client(api.url, items=40) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        eventually(workers.reads_all, describe=workers.describe)
        client.await_more(30)
        proxy.trap(b"COMMIT", after=b"INSERT INTO user_links", direction=held)
        asked = threads.submit(lambda: httpx.post(f"{dying.url}/users/{ACCOUNT}/merge", json=joining(), timeout=60.0))
        assert proxy.caught.wait(60.0), dying.describe()
        dying.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result(60.0)
        proxy.reset()  # as the kernel of a process that died does; until then its transaction holds the locks
        path = f"/users/{ACCOUNT}/merge"
        eventually(lambda: api.client.post(path, json=joining()).status_code == 200, 10.0, api.describe)
        client.await_more(30)
        client.finish()
        client.settle()
        check_service(client, environment, within_sec=10.0)
        erases_both(api, database_url)


@pytest.mark.slow
def test_consumer_killed_while_it_joins_two_ids(environment: dict[str, str], database_url: str) -> None:
    with running(role(environment, "api,relay")) as api, Client(api.url, items=40) as client:
        client.await_more(20)
        with proxied_url(database_url) as (proxy, url):
            proxy.trap(b"COMMIT", after=b"INSERT INTO user_links")
            with running(role(environment, "consumer", DATABASE_URL=url)) as consumer:
                event = {"user_id": ACCOUNT, "session_id": "s1", "item_id": "item-0", "event_type": "view"}
                assert api.client.post("/event", json={**event, **joining()}).status_code == 202
                assert proxy.caught.wait(60.0), consumer.describe()
                consumer.kill()
        with running(role(environment, "consumer")):
            client.await_more(20)
            client.finish()
            client.settle()
            check_service(client, environment, within_sec=30.0)
            erases_both(api, database_url)


def joining() -> dict[str, str]:
    return {"anonymous_id": VISITOR}


def erases_both(api: Service, database_url: str) -> None:
    """The account's list has the items of both ids. Its erasure leaves nothing of either."""
    with psycopg.connect(database_url, autocommit=True) as database:
        found = database.execute("SELECT history FROM user_history WHERE user_id IN (%s, %s)", (ACCOUNT, VISITOR))
        items = {entry.item_id for (history,) in found.fetchall() for entry in decode_history(history).entries}
        answer = api.client.get(f"/users/{ACCOUNT}/recent", params={"k": 200}).json()
        assert {item["item_id"] for item in answer["items"]} == items
        assert set(api.client.delete(f"/users/{ACCOUNT}").json()["erased_ids"]) == {ACCOUNT, VISITOR}
        left = (
            "SELECT (SELECT count(*) FROM events WHERE user_id = ANY (%(ids)s)) "
            "+ (SELECT count(*) FROM user_links) + (SELECT count(*) FROM user_history WHERE user_id = ANY (%(ids)s))"
        )
        ids = {"ids": [ACCOUNT, VISITOR]}
        eventually(lambda: database.execute(left, ids).fetchone() == (0,), 10.0, api.describe)
    answer = api.client.get(f"/users/{ACCOUNT}/recent").json()
    assert answer["items"] == []
