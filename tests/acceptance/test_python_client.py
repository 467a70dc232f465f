"""`clients/python` against a running service: what it was given is stored, each event once."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import pytest
from reco_client import (
    ApiError,
    AsyncClient,
    CatalogueBatchItem,
    CatalogueItem,
    CatalogueItemInput,
    Client,
    Options,
    Purchase,
    StateChanged,
    View,
)

from app.core import keys
from tests.support.database import ask
from tests.support.service import Service, eventually, running

KEY, TOKEN = keys.make("shop", ["write", "read", "catalogue"], "w" * 43)
QUICK: Final = Options(interval_sec=0.05, backoff_sec=0.2, max_backoff_sec=0.5, exit_sec=30)


@pytest.fixture
def service(environment: dict[str, str]) -> Iterator[Service]:
    with running(environment | {"API_KEYS": KEY.entry()}) as service:
        yield service


def test_lists_and_catalogue_are_typed(service: Service) -> None:
    with Client(service.url, TOKEN, QUICK) as client:
        awkward = ["a/b", "..", "%2F", "søk, 1"]
        result = client.put_items([CatalogueBatchItem(item_id=item_id, title=item_id) for item_id in awkward])
        assert (result.created, result.replaced) == (4, 0)
        assert client.put_item("..", CatalogueItemInput(title="Dots", categories=["x"])).categories == ["x"]
        assert [client.get_item(item_id).item_id for item_id in awkward] == awkward
        client.declare_attribute("price", "number")
        changed = client.patch_item("..", title="More dots", attributes={"price": 2.5})
        assert (changed.title, changed.categories, changed.attributes) == ("More dots", ["x"], {"price": 2.5})
        assert client.patch_item("..", attributes={"price": None}).attributes == {}
        page = client.list_items(limit=3)
        rest = client.list_items(limit=3, cursor=page.cursor)
        assert {item.item_id for item in [*page.items, *rest.items]} == {*awkward}
        assert [item.item_id for item in client.list_items(title="dot").items] == [".."]
        assert client.list_attributes() == {"price": "number"}
        client.delete_attribute("price")
        assert client.list_attributes() == {}
        for user in ("ann", "bob"):
            for item_id in awkward:
                client.send(Purchase(user_id=user, session_id="s1", item_id=item_id))
        assert client.flush(30)
        eventually(lambda: client.similar("a/b", k=2).items, describe=service.describe)
        eventually(lambda: len(client.popular().items) == 4, describe=service.describe)
        shown = client.recommend("new", k=10, exclude=["..", "søk, 1"], explain=True, autolog=True)
        assert {item.item_id for item in shown.items} == {"a/b", "%2F"}
        assert shown.items[0].parts is not None
        history = [{"item_id": "a/b", "event_type": "purchase"}]
        among = client.recommend(None, history=history, candidates=["..", "%2F"], exclude_id=["%2F"])
        assert [item.item_id for item in among.items] == [".."]
        ranked = client.rank(awkward, "new", history=history, explain=True)
        assert sorted(item.item_id for item in ranked.items) == sorted(awkward)
        assert client.recommend("new", exclude=[f"no-{number}" for number in range(200)], exclude_id="søk, 1").items
        client.delete_item("a/b")
        with pytest.raises(ApiError) as missing:
            client.get_item("a/b")
        assert (missing.value.status, missing.value.problem is not None) == (404, True)
        with pytest.raises(ApiError, match=r"\$\.k"):
            client.recommend("ann", k=500)


@pytest.mark.slow
def test_change_is_made_in_the_state_that_was_read_only(service: Service) -> None:
    with Client(service.url, TOKEN, QUICK) as client:
        client.put_item("tent", CatalogueItemInput(title="Tent", tags=["0"]), only_new=True)
        with pytest.raises(StateChanged) as told:
            client.put_item("tent", CatalogueItemInput(title="Another"), only_new=True)
        assert told.value.status == 412
        read = client.get_item_version("tent")
        assert (read.item.title, read.item.tags) == ("Tent", ["0"])
        client.patch_item("tent", if_match=read.etag, title="New tent")
        stale = {"if_match": read.etag}
        for change in (
            lambda: client.patch_item("tent", **stale, title="Old tent"),
            lambda: client.put_item("tent", CatalogueItemInput(title="Old tent"), **stale),
            lambda: client.delete_item("tent", **stale),
        ):
            with pytest.raises(StateChanged, match="Another state than the one of If-Match"):
                change()
        assert client.get_item("tent").title == "New tent"

        def count_up(item: CatalogueItem) -> dict[str, list[str]]:
            return {"tags": [str(int(item.tags[0]) + 1)]}

        # None of them is lost, though they all read the same states.
        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda _: client.update_item("tent", count_up, tries=100), range(20)):
                pass
        assert client.get_item("tent").tags == ["20"]
        with pytest.raises(StateChanged):
            client.update_item("tent", lambda item: count_up(client.update_item("tent", count_up)), tries=2)
        client.delete_item("tent", if_match=client.get_item_version("tent").etag)
        with pytest.raises(ApiError, match="404"):
            client.get_item_version("tent")


@pytest.mark.slow
async def test_client_for_asyncio_changes_what_it_has_read(service: Service) -> None:
    async with AsyncClient(service.url, TOKEN, QUICK) as client:
        await client.put_item("stove", CatalogueItemInput(title="Stove", tags=["0"]), only_new=True)
        read = await client.get_item_version("stove")

        def count_up(item: CatalogueItem) -> dict[str, list[str]]:
            return {"tags": [str(int(item.tags[0]) + 1)]}

        await asyncio.gather(*(client.update_item("stove", count_up, tries=100) for _ in range(10)))
        assert (await client.get_item("stove")).tags == ["10"]
        with pytest.raises(StateChanged):
            await client.delete_item("stove", if_match=read.etag)
        with pytest.raises(StateChanged):
            await client.patch_item("stove", if_match=read.etag, title="Old stove")


@pytest.mark.slow
def test_service_that_is_killed_gets_every_event_and_counts_each_once(environment: dict[str, str]) -> None:
    """Three kills while threads send; then the ledger: each id that was taken is stored and counted once."""
    ids: list[str] = []
    stop = threading.Event()

    def send(client: Client, number: int) -> None:
        while not stop.wait(0.02):
            ids.append(client.send(View(user_id=f"user-{number}", session_id="s1", item_id=f"item-{len(ids) % 50}")))

    url = f"http://127.0.0.1:{environment['HTTP_PORT']}"
    with Client(url, None, QUICK) as client:
        threads = [threading.Thread(target=send, args=(client, number)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                with running(environment) as service:
                    before = client.counts.accepted
                    eventually(lambda before=before: client.counts.accepted > before + 50, 60, service.describe)
                    service.kill()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with running(environment) as service:
            assert client.flush(60), client.counts
            assert client.counts.refused == 0
            assert client.counts.accepted + client.counts.duplicate == len(ids)
            with psycopg.connect(environment["DATABASE_URL"]) as database:
                found = [event_id for (event_id,) in database.execute("SELECT event_id FROM events").fetchall()]
            assert sorted(found) == sorted(ids)
            counted = "SELECT count(*) FROM feature_event_consumed"
            eventually(lambda: ask(environment["DATABASE_URL"], counted) == len(ids), 60, describe=service.describe)


async def test_client_for_asyncio_waits_for_a_service_that_is_away(environment: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{environment['HTTP_PORT']}"
    async with AsyncClient(url, None, QUICK) as client:
        for number in range(300):
            client.send(View(user_id="ann", session_id="s1", item_id=f"item-{number}"))
        many = asyncio.create_task(
            client.send_all(View(user_id="bob", session_id="s1", item_id=f"item-{n}") for n in range(2_200))
        )
        service = await asyncio.to_thread(lambda: Service(environment).wait_ready())
        try:
            assert await client.flush(60)
            counts = await many
            assert (counts.accepted + counts.duplicate, counts.refused) == (2_200, 0)
            assert (client.counts.accepted + client.counts.duplicate, client.counts.refused) == (300, 0)
            with psycopg.connect(environment["DATABASE_URL"]) as database:
                found = database.execute("SELECT user_id, count(*) FROM events GROUP BY user_id").fetchall()
            assert dict(found) == {"ann": 300, "bob": 2_200}
        finally:
            service.close()
