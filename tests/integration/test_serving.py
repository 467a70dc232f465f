"""`GET /reco` for whoever asks: the unknown, the choosy, and those who want to know why."""

import asyncio
import uuid
from typing import Any

import asyncpg
import httpx
import msgspec

from app.adapters.features import history_of, read_histories
from app.core.messages import decode_message
from app.settings import Settings
from tests.support.api import serving
from tests.support.pipeline import database, message
from workers.batch import FeatureWriter
from workers.incoming import Incoming


def did(user_id: str, item_id: str, event_type: str = "purchase", **changes: Any) -> str:
    return message(uuid.uuid4().hex, user_id=user_id, item_id=item_id, event_type=event_type, **changes)


async def count(settings: Settings, payloads: list[str]) -> None:
    """Counts these messages as the consumer does."""
    async with database(settings.database_url) as opened:
        incoming = [Incoming(None, "t", decode_message(payload.encode()), None) for payload in payloads]
        assert (await FeatureWriter(opened, max_retries=1).apply(incoming)).counted == len(payloads)


async def items(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/reco?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def ids(client: httpx.AsyncClient, query: str) -> list[str]:
    return [item["item_id"] for item in await items(client, query)]


async def store(client: httpx.AsyncClient, cards: dict[str, dict[str, Any]]) -> None:
    body = {"items": [{"item_id": item_id, **card} for item_id, card in cards.items()]}
    assert (await client.post("/items", json=body)).status_code == 200


OLD = {"published_at": "2020-01-01T00:00:00Z"}


async def test_an_unknown_user_is_served_by_the_session(settings: Settings) -> None:
    await count(
        settings,
        [
            did("bob", "tent"),
            did("bob", "stove"),
            *(did(f"u{n}", "book", session_id=f"s-{n}") for n in range(20)),
            did("visitor", "tent", "view", session_id="s-now"),
        ],
    )
    async with serving(settings) as client:
        assert (await ids(client, "user_id=new&k=1")) == ["book"]
        (first, *_) = await items(client, "user_id=new&session_id=s-now&k=1&explain=true")
        assert (first["item_id"], first["because"]) == ("stove", ["tent"])
        assert (await ids(client, "user_id=new&session_id=unheard-of&k=1")) == ["book"]
        assert (await client.delete("/users/visitor")).status_code == 200
        assert (await ids(client, "user_id=new&session_id=s-now&k=1")) == ["book"]


async def test_a_session_shows_nothing_of_what_was_before_it(settings: Settings) -> None:
    now = msgspec.json.decode(message("x"))["ts_ms"]
    await count(settings, [did("bob", "tent"), did("bob", "stove"), did("u", "book", session_id="other")])
    await count(
        settings,
        [
            did("ann", "tent", ts_ms=now - 3_600_000, session_id="s-before"),
            did("ann", "lamp", ts_ms=now - 1_000, session_id="s-now"),
        ],
    )
    async with serving(settings) as client:
        found = await items(client, "user_id=new&session_id=s-now&explain=true")
        assert {cause for item in found for cause in item["because"]} == {"lamp"}
    async with database(settings.database_url) as opened, opened.connection() as connection:
        stored = history_of((await read_histories(connection, ["ann"]))["ann"])
        assert {entry.item_id for entry in stored.entries} == {"tent", "lamp"}


async def test_new_trends_of_a_category_show_within_a_second(settings: Settings) -> None:
    """A new user sees the best of several categories before more of the same."""
    async with serving(settings) as client:
        films = {f"film-{n}": {"categories": ["films"], **OLD} for n in range(8)}
        books = {f"book-{n}": {"categories": ["books"], **OLD} for n in range(2)}
        await store(client, films | books)
        payloads = [did(f"u{n}-{m}", f"film-{n}", session_id=f"{n}-{m}") for n in range(8) for m in range(9 - n)]
        at_ms = msgspec.json.decode(payloads[-1])["ts_ms"]  # at one time, so that the id decides
        payloads += [did(f"v{n}", f"book-{n}", session_id=f"v{n}", ts_ms=at_ms) for n in range(2)]
        await count(settings, payloads)
        assert (await ids(client, "user_id=new&k=8"))[:4] == ["film-0", "film-1", "book-0", "book-1"]
        assert (await ids(client, "user_id=new&k=2&category=books")) == ["book-0", "book-1"]
        trending = await items(client, "user_id=new&k=3&category=films&explain=true")
        assert [item["item_id"] for item in trending] == ["film-0", "film-1", "film-2"]
        assert trending[0]["why"].startswith("Popular this week in films.")


async def test_no_category_has_more_than_it_may(settings: Settings) -> None:
    async with serving(settings) as client:
        await store(client, {f"film-{n}": {"categories": ["films"], **OLD} for n in range(5)})
        await store(client, {"book": {"categories": ["books"], **OLD}})
        await count(settings, [did(f"u{n}", f"film-{n}", session_id=f"s{n}") for n in range(5)] + [did("w", "book")])
        found = await ids(client, "user_id=u0&k=5&max_per_category=2")
        assert len(found) == 3
        assert "book" in found
        assert len(await ids(client, "user_id=u0&k=5")) == 5
        answer = await client.get("/popular?k=5&max_per_category=1")
        assert len(answer.json()["items"]) == 2


async def test_seen_items_are_left_out_by_kind(settings: Settings) -> None:
    await count(settings, [did("ann", "seen", "view"), did("ann", "bought"), did("bob", "other", session_id="b")])
    async with serving(settings) as client:
        assert set(await ids(client, "user_id=ann")) == {"other"}
        assert set(await ids(client, "user_id=ann&exclude_seen=purchase")) == {"other", "seen"}
        assert set(await ids(client, "user_id=ann&exclude_seen=view,purchase")) == {"other"}
        assert set(await ids(client, "user_id=ann&exclude_seen=none")) == {"other", "seen", "bought"}
        assert set(await ids(client, "user_id=ann&exclude_seen=purchase&repeats=allow")) == {"other", "seen"}
        assert set(await ids(client, "user_id=ann&exclude_seen=purchase&repeats=avoid")) == {"other"}
        refused = await client.get("/reco?user_id=ann&exclude_seen=impression")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["path"] == "$.exclude_seen[0]"


async def test_a_list_is_full_as_long_as_the_catalogue_allows(settings: Settings) -> None:
    async with serving(settings, exploration_share=0.0) as client:
        await store(client, {f"plain-{n:02}": {"categories": ["films"], **OLD} for n in range(30)})
        await store(client, {"hidden": {"hidden": True}, "gone": {"expires_at": "2020-01-01T00:00:00Z"}})
        await count(settings, [did("ann", "plain-07"), did("bob", "plain-08", session_id="b")])
        found = await items(client, "user_id=ann&k=20&exclude=plain-09,plain-10&explain=true")
        assert len({item["item_id"] for item in found}) == 20
        assert not {"hidden", "gone", "plain-07", "plain-09", "plain-10"} & {item["item_id"] for item in found}
        assert (found[0]["item_id"], found[0]["source"]) == ("plain-08", "popular")
        assert {item["source"] for item in found[1:]} == {"catalogue"}
        assert found[1]["why"].startswith("It fills the list")
        assert len(await ids(client, "user_id=ann&k=200")) == 29
        assert len(await ids(client, "user_id=ann&k=200&category=films")) == 29
        assert await ids(client, "user_id=ann&category=books") == []


async def test_new_items_are_tried_out(settings: Settings, pool: asyncpg.Pool) -> None:
    await count(settings, [did(f"u{n}", f"old-{n:02}", session_id=f"s{n}") for n in range(30)])
    async with serving(settings, exploration_share=0.25) as client:
        await store(client, {f"new-{n}": {"title": f"Novelty {n}"} for n in range(4)})
        found = await items(client, "user_id=ann&k=20&explain=true")
        assert len(found) == 20
        tried = [item for item in found if item["source"] == "explore"]
        assert 1 <= len(tried) <= 4
        assert all(item["title"].startswith("Novelty") and item["why"].startswith("New") for item in tried)
        assert all(item["source"] != "explore" for item in found[:5])
        headers = {"X-Request-ID": "the-same"}
        answers = [(await client.get("/reco?user_id=ann&k=20", headers=headers)).json()["items"] for _ in range(2)]
        assert answers[0] == answers[1]
        excluded = ",".join(f"new-{n}" for n in range(4))
        assert all(item["source"] == "popular" for item in await items(client, f"user_id=ann&exclude={excluded}"))
    async with serving(settings, exploration_share=0.0) as client:
        assert all(item["source"] == "popular" for item in await items(client, "user_id=ann&k=20"))


async def test_users_of_a_batch_try_out_new_items_of_their_own(settings: Settings) -> None:
    await count(settings, [did(f"u{n}", f"old-{n:02}", session_id=f"s{n}") for n in range(30)])
    users = {"user_ids": [f"reader-{n}" for n in range(30)], "k": 20}
    async with serving(settings, exploration_share=0.05) as client:
        await store(client, {f"new-{n:02}": {} for n in range(30)})
        texts = [
            (await client.post("/reco/batch", json=users, headers={"X-Request-ID": request_id})).text
            for request_id in ("mail-1", "mail-1", "mail-2")
        ]
        assert texts[0] == texts[1] != texts[2]
        lists = [msgspec.json.decode(line)["items"] for line in texts[0].splitlines()]
        tried = {item["item_id"] for items in lists for item in items if item["source"] == "explore"}
        assert len(tried) > 5


async def test_an_explanation_names_the_items_and_the_parts_of_the_score(settings: Settings) -> None:
    await count(settings, [did("bob", "tent"), did("bob", "stove"), did("ann", "tent", session_id="a")])
    async with serving(settings) as client:
        await store(client, {"tent": {"title": "A tent", **OLD}, "stove": {"title": "A stove", **OLD}})
        (stove,) = await items(client, "user_id=ann&explain=true")
        assert stove["because"] == ["tent"]
        assert "Users take it together with what this one bought: A tent." in stove["why"]
        parts = stove["parts"]
        assert parts["factor"] == stove["score"] == 1.0  # the best has 1
        assert parts["features"]["similar"] > 0
        (plain,) = await items(client, "user_id=ann")
        assert set(plain) == {"item_id", "score", "source", "title"}


async def test_rules_pin_raise_bury_and_forbid(settings: Settings) -> None:
    async with serving(settings, exploration_share=1.0 / 2) as client:
        cards = {f"film-{n}": {"categories": ["films"], **OLD} for n in range(4)}
        await store(client, cards | {"book": {"categories": ["books"], "tags": ["sale"], **OLD}, "never": {}})
        payloads = [did(f"u{n}-{m}", f"film-{n}", session_id=f"{n}-{m}") for n in range(4) for m in range(6 - n)]
        await count(settings, [*payloads, did("w", "book", session_id="w"), did("ann", "other", session_id="a")])
        query = "user_id=ann&exclude=other"
        before = await ids(client, f"{query}&exclude=never")
        assert before == ["film-0", "film-1", "film-2", "film-3", "book"]

        rules: dict[str, dict[str, Any]] = {
            "pinned": {"action": "pin", "item_id": "film-3", "position": 1},
            "sale": {"action": "boost", "tag": "sale", "factor": 10},
            "less": {"action": "boost", "item_id": "film-0", "factor": 0.4},
            "out": {"action": "boost", "item_id": "film-1", "factor": 0},
            "new": {"action": "boost", "item_id": "never", "factor": 0},
        }
        for rule_id, rule in rules.items():
            assert (await client.put(f"/rules/{rule_id}", json=rule)).status_code == 201

        async def settled(wanted: list[str], query: str) -> None:
            """Rules reach the process through the feed of changes."""
            async with asyncio.timeout(10):
                while (found := await ids(client, query)) != wanted:
                    await asyncio.sleep(0.02)
            assert found == wanted

        await settled(["film-3", "book", "film-2", "film-0"], query)
        found = await items(client, f"{query}&explain=true")
        assert [item["source"] for item in found] == ["pinned", "popular", "popular", "popular"]
        assert [item["parts"]["factor"] for item in found] == [1.0, 10.0, 1.0, 0.4]
        assert found[1]["why"].endswith("A rule multiplies its score by 10.")
        popular = (await client.get("/popular")).json()["items"]
        assert [item["item_id"] for item in popular] == ["book", "film-2", "film-3", "film-0", "other"]

        for rule_id in rules:
            assert (await client.delete(f"/rules/{rule_id}")).status_code == 204
        await settled(before, f"{query}&exclude=never")
