"""Ingest when Postgres is slow, busy, away or refuses: nobody waits for long, and what was answered holds."""

import asyncio
import json

import asyncpg
import pytest
from structlog.testing import capture_logs

from app import metrics
from app.adapters.ingest import insert_all_or_none, insert_events
from app.core import events, submitted
from app.core.events import Record
from app.devstack import Stack
from app.settings import Settings
from tests.support.api import serving, stored, watch
from tests.support.item_sums import have_sums
from tests.support.pipeline import counted


async def test_a_full_buffer_says_so_at_once(settings: Settings, pool: asyncpg.Pool) -> None:
    await have_sums(pool, heat=1.0)
    bounds = {"ingest_max_pending_events": 2, "ingest_timeout_sec": 20.0, "db_lock_timeout_ms": 4_000}
    async with serving(settings, **bounds) as client:
        async with pool.acquire() as blocker, blocker.transaction():
            await blocker.execute("LOCK TABLE events IN SHARE MODE")
            waiting = [asyncio.create_task(client.post("/log/watch", json=watch())) for _ in range(2)]
            async with asyncio.timeout(10):
                while "reco_ingest_pending_events 2.0" not in (await client.get("/metrics")).text:
                    await asyncio.sleep(0.01)
            refused = await client.post("/log/watch", json=watch())
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            # An impression that nobody waits for is dropped, and its answer is none the slower.
            dropped = counted(metrics.INGEST_EVENTS, outcome="impression_dropped")
            shown = await client.get("/reco?user_id=ann", headers={"X-Autolog-Impressions": "true"})
            assert [item["item_id"] for item in shown.json()["items"]] == ["heat"]
            assert counted(metrics.INGEST_EVENTS, outcome="impression_dropped") == dropped + 1
        # What waited is either stored or told that Postgres was busy (its lock timeout), and nothing in between.
        answers = [answer.status_code for answer in await asyncio.gather(*waiting)]
        assert set(answers) <= {202, 503}
        assert (await stored(pool))[0] == answers.count(202)


async def test_no_commit_in_time_is_a_503_and_the_retry_settles_it(settings: Settings, pool: asyncpg.Pool) -> None:
    async with serving(settings, ingest_timeout_sec=0.1, db_lock_timeout_ms=20_000) as client:
        event = watch(event_id="event-0001")
        async with pool.acquire() as blocker, blocker.transaction():
            await blocker.execute("LOCK TABLE events IN SHARE MODE")
            late = await client.post("/log/watch", json=event)
            assert late.status_code == 503
            assert "retry-after" in late.headers
        async with asyncio.timeout(10):
            while (answer := await client.post("/log/watch", json=event)).status_code == 503:
                pass
        assert answer.status_code in (200, 202)
        assert await stored(pool) == (1, 1)


def records(ids: list[str], item_id: str = "alien") -> list[Record]:
    made = []
    for event_id in ids:
        event = submitted.decode_watch(json.dumps(watch(event_id=event_id, item_id=item_id)).encode())
        made.append(events.accept(event, now_ms=1, entropy=b"", any_time=True))
    return made


async def test_writers_of_the_same_ids_never_deadlock(pool: asyncpg.Pool) -> None:
    ids = [f"event-{number:05}" for number in range(400)]
    orders = [ids, ids[::-1], ids[200:] + ids[:200], ids[::2] + ids[1::2]]

    async def write(order: list[str], turn: int) -> list[str]:
        named = records([f"{turn}-{event_id}" for event_id in order])
        async with pool.acquire() as connection:
            insert = insert_all_or_none if turn % 2 else insert_events
            return list((await insert(connection, named)).statuses)

    for turn in range(6):
        results = await asyncio.gather(*(write(order, turn) for order in orders))
        assert sum(outcomes.count("accepted") for outcomes in results) == 400
        assert sum(outcomes.count("duplicate") for outcomes in results) == 1200
    assert await stored(pool) == (2400, 2400)


async def fail_for(pool: asyncpg.Pool, user_id: str, sqlstate: str) -> None:
    await pool.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'inner words' USING ERRCODE = '{sqlstate}'; END $$"
    )
    await pool.execute(
        f"CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.user_id = '{user_id}') "
        "EXECUTE FUNCTION fail()"
    )


async def test_a_row_that_postgres_refuses_costs_its_own_request_alone(settings: Settings, pool: asyncpg.Pool) -> None:
    await fail_for(pool, "cursed", "22003")
    async with serving(settings) as client:
        bodies = [watch(user_id="cursed" if number == 7 else f"user-{number}") for number in range(20)]
        batch = [{"event_type": "watch", **body} for body in bodies]
        answer = (await client.post("/log/batch", json=batch)).json()
        assert [result["status"] for result in answer["results"]].count("accepted") == 19
        assert answer["results"][7]["status"] == "invalid"
        answers = await asyncio.gather(*(client.post("/log/watch", json=body) for body in bodies))
        assert [answer.status_code for answer in answers] == [202] * 7 + [422] + [202] * 12
        assert (await client.post("/log/batch?atomic=true", json=batch)).status_code == 422
    assert await stored(pool) == (38, 38)


@pytest.mark.parametrize("sqlstate", ["XX000", "P0001", "54000", "57014", "53100", "23514"])
async def test_postgres_error_without_a_bad_value_is_a_503(
    settings: Settings, pool: asyncpg.Pool, sqlstate: str
) -> None:
    await fail_for(pool, "unlucky", sqlstate)
    async with serving(settings) as client:
        unlucky = watch(user_id="unlucky", event_id="event-unlucky")
        for call in ("/log/watch", "/log/batch", "/log/batch?atomic=true"):
            body = unlucky if call == "/log/watch" else [{"event_type": "watch", **unlucky}]
            with capture_logs() as lines:
                refused = await client.post(call, json=body)
            assert refused.status_code == 503, call
            assert int(refused.headers["retry-after"]) >= 1
            detail = "Postgres is unavailable. Send the request again; an event keeps its event id."
            assert refused.json()["detail"] == detail
            requests = [line for line in lines if line["event"] == "request"]
            assert [line["log_level"] for line in requests] == ["warning"]
            assert "inner words" in requests[0]["error"]
            assert requests[0]["request_id"] == refused.json()["request_id"]
        assert (await client.post("/log/watch", json=watch())).status_code == 202
        await pool.execute("DROP TRIGGER fail ON events")
        assert (await client.post("/log/watch", json=unlucky)).status_code == 202


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_without_postgres_every_answer_is_a_503_and_the_retry_settles_it(
    settings: Settings, breakable_stack: Stack, fault: str
) -> None:
    postgres = breakable_stack.postgres
    async with serving(settings) as client:
        ids = [f"event-{number:04}" for number in range(8)]
        assert (await client.post("/log/watch", json=watch(event_id="event-before"))).status_code == 202
        await asyncio.to_thread(postgres.kill if fault == "killed" else postgres.pause)
        # The client's own patience is the check that nothing hangs; 0.9 s is the service's.
        requests = [client.post("/log/watch", json=watch(event_id=event_id), timeout=5) for event_id in ids]
        for answer in await asyncio.gather(*requests):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["detail"].startswith(
                ("Postgres is unavailable. ", "No commit in time", "The events are not stored")
            )
        assert (await client.get("/healthz")).status_code == 200

        await asyncio.to_thread(postgres.restart if fault == "killed" else postgres.resume)
        async with asyncio.timeout(30):
            for event_id in ids:
                while (answer := await client.post("/log/watch", json=watch(event_id=event_id))).status_code == 503:
                    await asyncio.sleep(0.05)
                assert answer.status_code in (200, 202)
    connection = await asyncpg.connect(settings.database_url)
    assert await connection.fetchval("SELECT count(*) FROM events") == 1 + len(ids)
    await connection.close()
