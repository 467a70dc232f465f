"""Dead rows and dead letters over HTTP: paged, searched, opened, sent again and given up, and audited."""

import base64
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest

from app.adapters import replay, sql
from app.core import keys
from app.settings import Settings
from tests.support.api import fault_paths, serving

OPERATE, OPERATE_TOKEN = keys.make("ops", ["operate"], "o" * 43)
READ, READ_TOKEN = keys.make("viewer", ["read"], "r" * 43)
ENTRIES = (OPERATE.entry(), READ.entry())
OPS = {"x-api-key": OPERATE_TOKEN}


@pytest.fixture
async def rows(pool: "asyncpg.Pool[asyncpg.Record]") -> "asyncpg.Pool[asyncpg.Record]":
    """Five dead rows; 1,200 dead letters, of which one is no message and one came back three times."""
    await pool.execute(
        "INSERT INTO event_outbox (event_id, topic, message_key, payload, status, attempts, failed_at, last_error) "
        "SELECT 'dead-' || n, 'recsys.watches.v1', 'ann', '{\"n\": 1}', 'dead', 25, now(), 'MessageSizeTooLargeError' "
        "FROM generate_series(1, 5) AS n"
    )
    await pool.execute(
        "INSERT INTO feature_consumer_dlq (topic, partition, record_offset, record_ts_ms, message_key, value, "
        "header_names, header_values, event_id, error_kind, error, attempts, replays) "
        "SELECT 'recsys.watches.v1', 2, n, 1, 'ann', '\\x00fe', "
        "ARRAY['erasures'], ARRAY['\\x30'::bytea], 'letter-' || n, "
        "CASE WHEN n = 1200 THEN 'batch' ELSE 'decode' END, "
        "CASE WHEN n % 4 = 0 THEN 'Invalid UTF-8' ELSE 'Not JSON' END, "
        "1, CASE WHEN n = 1 THEN 3 ELSE 0 END FROM generate_series(1, 1200) AS n"
    )
    return pool


async def every_page(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        answer = (await client.get("/dead-letters", params={**query, "after": after, "limit": 200}, headers=OPS)).json()
        found += answer["entries"]
        after = answer["next"]
    assert answer["matching"] == len(found)
    return found


async def act(client: httpx.AsyncClient, what: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/dead-letters/{what}", json=body, headers=OPS)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_list_is_paged_and_searched(settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]") -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        assert len({entry["id"] for entry in await every_page(client)}) == 1200
        assert len(await every_page(client, error="invalid utf")) == 300
        assert [entry["event_id"] for entry in await every_page(client, event_id="letter-7")] == ["letter-7"]
        assert await every_page(client, topic="none") == []
        dead = await every_page(client, source="outbox")
        assert {(entry["status"], entry["kind"]) for entry in dead} == {("dead", "refused")}
        assert (await client.get("/dead-letters", headers={"x-api-key": READ_TOKEN})).status_code == 403


async def test_one_is_opened_with_its_bytes_and_headers(
    settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        letter = (await every_page(client, event_id="letter-7"))[0]
        opened = (await client.get(f"/dead-letters/{letter['id']}", headers=OPS)).json()
        assert (base64.b64decode(opened["raw"]), opened["size"], opened["payload"]) == (b"\x00\xfe", 2, None)
        assert (opened["headers"], opened["position"]) == ({"erasures": "0"}, "partition 2, offset 7")
        dead = (await every_page(client, source="outbox"))[0]
        answer = await client.get(f"/dead-letters/{dead['id']}?source=outbox", headers=OPS)
        assert answer.status_code == 200, answer.text
        row = answer.json()
        assert (row["payload"], row["error"]) == ({"n": 1}, "MessageSizeTooLargeError")


@pytest.mark.parametrize(
    ("ts_ms", "at"),
    [
        (-(2**63), None),
        (-62_135_596_800_001, None),
        (-1, "1969-12-31T23:59:59.999000+00:00"),
        (253_402_300_800_000, None),
        (2**63 - 1, None),
    ],
)
async def test_letter_whose_message_has_a_time_beyond_all_calendars_is_opened(
    settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]", ts_ms: int, at: str | None
) -> None:
    row_id = await rows.fetchval(
        "UPDATE feature_consumer_dlq SET record_ts_ms = $1 WHERE event_id = 'letter-7' RETURNING id", ts_ms
    )
    async with serving(settings, api_keys=ENTRIES) as client:
        answer = await client.get(f"/dead-letters/{row_id}", headers=OPS)
    assert (answer.status_code, answer.json().get("event_id")) == (200, "letter-7"), answer.text
    with psycopg.connect(settings.database_url, options="-c timezone=UTC") as connection:
        shown = replay.show(connection, "dlq", row_id)
    assert shown is not None
    assert shown["record_ts_ms"] == ts_ms
    assert (None if shown["record_at"] is None else shown["record_at"].isoformat()) == at


async def test_all_found_are_replayed_in_parts_but_for_what_came_back(
    settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        await rows.execute("INSERT INTO feature_event_consumed (event_id) VALUES ('letter-2')")
        first = await act(client, "replay", source="dlq", error="not json")
        assert (first["done"], first["counted"], first["held_back"]) == (498, 1, 1)
        second = await act(client, "replay", source="dlq", error="not json", after=first["next"])
        assert (second["done"], second["next"]) == (400, None)
        held = await act(client, "replay", source="dlq", error="not json", force=True)
        assert (held["done"], held["next"]) == (1, None)
        await act(client, "replay", source="dlq")
        left = await every_page(client)
        assert [entry["kind"] for entry in left] == ["batch"]
        assert (await act(client, "replay", source="outbox"))["done"] == 5
        assert await rows.fetchval("SELECT count(*) FROM event_outbox WHERE status = 'pending'") == 1198 + 5
    done = await rows.fetch("SELECT actor, outcome, cardinality(targets) FROM audit_log ORDER BY recorded_at")
    assert [tuple(row) for row in done][:2] == [("ops", "499 replayed", 499), ("ops", "400 replayed", 400)]


async def test_what_is_found_by_its_event_is_all_that_is_acted_on(
    settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        done = await act(client, "discard", source="dlq", event_id="letter-7", reason="spoilt")
        assert (done["done"], done["next"]) == (1, None)
        assert await every_page(client, event_id="letter-7") == []
        assert len(await every_page(client)) == 1199
        before = await every_page(client, source="outbox")
        sent = await act(client, "replay", source="outbox", event_id=before[0]["event_id"])
        assert (sent["done"], await every_page(client, source="outbox")) == (1, before[1:])


async def test_no_more_are_acted_on_than_were_counted(settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]") -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        for source in ("outbox", "dlq"):
            listed = (await client.get("/dead-letters", params={"source": source}, headers=OPS)).json()
            await rows.execute("UPDATE event_outbox SET failed_at = clock_timestamp() WHERE event_id = 'dead-1'")
            await rows.execute(
                "UPDATE feature_consumer_dlq SET created_at = clock_timestamp() WHERE event_id = 'letter-1'"
            )
            until, after, done = listed["as_of"], 0, 0
            while after is not None:
                acted = await act(client, "discard", source=source, until=until, after=after, reason="spoilt")
                after, done = acted["next"], done + acted["done"]
            left = await every_page(client, source=source)
            assert (done, len(left)) == (listed["matching"] - 1, 1)
        endless = {"source": "dlq", "until": "0001-01-01T00:00:00Z"}
        refused = await client.post("/dead-letters/replay", json=endless, headers=OPS)
        assert (refused.status_code, [error["path"] for error in refused.json()["errors"]]) == (422, ["$.until"])


async def test_chosen_ones_are_discarded_with_a_reason(
    settings: Settings, rows: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    async with serving(settings, api_keys=ENTRIES) as client:
        ids = [entry["id"] for entry in (await every_page(client))[:3]]
        assert (
            await client.post("/dead-letters/discard", json={"source": "dlq", "ids": ids}, headers=OPS)
        ).status_code == 422
        assert (await act(client, "discard", source="dlq", ids=ids, reason="spoilt"))["done"] == 3
        opened = (await client.get(f"/dead-letters/{ids[0]}", headers=OPS)).json()
        assert (opened["status"], opened["resolved_by"], opened["resolution"]) == ("discarded", "ops", "spoilt")
    row = await rows.fetchrow("SELECT actor, action, outcome, targets FROM audit_log")
    assert row is not None
    assert tuple(row) == ("ops", "discard_messages", "3 discarded", [f"dlq {one}" for one in ids])


async def test_a_number_that_is_no_row_is_named(settings: Settings) -> None:
    async with serving(settings) as client:
        answers = [await client.get("/dead-letters", params={"after": 10**20})]
        for call, more in (("replay", {}), ("discard", {"reason": "spoilt"})):
            answers.append(await client.post(f"/dead-letters/{call}", json={"source": "dlq", "after": 10**20, **more}))
        assert [fault_paths(answer) for answer in answers] == [["$.after"]] * 3


async def test_recent_users_are_named_the_latest_first(settings: Settings) -> None:
    async with serving(settings) as client:
        assert (await client.get("/users")).json() == {"users": []}
        for user in ("ann", "bob", "ann"):
            event = {"user_id": user, "session_id": "s1", "item_id": "tent", "event_type": "view"}
            assert (await client.post("/event", json=event)).status_code == 202
        found = (await client.get("/users?limit=2")).json()["users"]
        assert [entry["user_id"] for entry in found] == ["ann", "bob"]


def test_named_placeholders_become_numbers() -> None:
    text = "SELECT %(b)s, %(a)s FROM t WHERE x = %(b)s"
    assert sql.numbered(text) == ("SELECT $1, $2 FROM t WHERE x = $1", ("b", "a"))
