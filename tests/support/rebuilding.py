"""`reco rebuild` as a process of its own, events to rebuild from, and what is compared afterwards."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest
from msgspec import structs

from app.core.features import decode_history
from tests.support.consuming import incoming
from tests.support.pipeline import until
from tests.support.service import ROOT
from workers.batch import FeatureWriter

Pool = asyncpg.Pool
BEGIN: Final = datetime.now(UTC) - timedelta(days=31)
SUMS: Final = (
    "popular_hours, popular_day, popular_week, frequency, returns, events, users, first_ms, popular_ms, impressions, "
    "views, clicks, purchases, watches, watch_ms, other_events"
)


def start_rebuild(database_url: str, *arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-m", "app.cli", "rebuild", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "APP_ENV": "test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    """Events of some users, some of them late, in order of arrival: a hundred a day, and from the 3,000th on one a
    second, so that logs may follow each other.
    """
    chance = random.Random(first)
    made = []
    for number in range(count):
        place = first + number
        days = place / 100 if place < 3_000 else 30 + (place - 3_000) / 86_400
        received = BEGIN + timedelta(days=days)
        late = timedelta(hours=chance.random() * 3 if chance.random() < 0.1 else 0)
        kind = chance.choice(["view", "click", "purchase", "watch", "impression"])
        item = f"item-{int(40 * chance.random() ** 2)}"
        of_kind: dict[str, Any] = {"item_id": item}
        if kind == "watch":
            of_kind |= {"watch_time_sec": 300 * chance.random()}
        elif kind == "impression":
            of_kind = {"items": [{"item_id": item, "position": 1}]}
        made.append(
            {
                "v": 1,
                "event_type": kind,
                "event_id": f"event-{place:06d}",
                "user_id": f"user-{int(20 * chance.random())}",
                "session_id": "s1",
                "ts_ms": round((received - late).timestamp() * 1000),
                "received_ms": round(received.timestamp() * 1000),
                **of_kind,
            }
        )
    return made


async def store(pool: Pool, events: Sequence[dict[str, Any]]) -> None:
    """As accepted, at their times of receipt."""
    await pool.executemany(
        "INSERT INTO events (event_id, event_type, user_id, session_id, ts_ms, content_hash, payload, received_at, "
        "erasures) VALUES ($1, $2, $3, 's1', $4, '', $5::text::jsonb, to_timestamp($6::float8 / 1000), "
        "pg_sequence_last_value('erasure_numbers')::integer)",
        [
            (e["event_id"], e["event_type"], e["user_id"], e["ts_ms"], json.dumps(e), float(e["received_ms"]))
            for e in events
        ],
    )


async def count(writer: FeatureWriter, events: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(events), 100):
        await writer.apply(incoming(*(json.dumps(event) for event in events[start : start + 100])))


async def store_and_count(pool: Pool, writer: FeatureWriter, events: Sequence[dict[str, Any]]) -> None:
    await store(pool, events)
    await count(writer, events)


async def sums(pool: Pool) -> dict[str, Any]:
    """Everything that is rebuilt, by ids."""
    items = await pool.fetch(f"SELECT item_id, {SUMS} FROM item_stats")
    pairs = await pool.fetch(
        "SELECT a.item_id AS a, b.item_id AS b, p.weight, p.met::float8, p.a_to_b, p.b_to_a FROM item_pairs AS p "
        "JOIN item_stats AS a ON a.item_key = p.item_a JOIN item_stats AS b ON b.item_key = p.item_b"
    )
    users = await pool.fetch("SELECT user_id, history FROM user_history WHERE history <> ''")
    return {
        "items": {row[0]: list(row)[1:] for row in items},
        "pairs": {(row[0], row[1]): list(row)[2:] for row in pairs},
        "histories": {row[0]: decode_history(row[1]) for row in users},
    }


def assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ("items", "pairs"):
        assert one[part].keys() == other[part].keys()
        for key, values in one[part].items():
            assert values == pytest.approx(other[part][key], rel=1e-6), (part, key)
    assert one["histories"].keys() == other["histories"].keys()
    for user, history in one["histories"].items():
        again = other["histories"][user]
        assert history.seen_hashes == again.seen_hashes
        assert [structs.replace(entry, other_weight=0) for entry in history.entries] == [
            structs.replace(entry, other_weight=0) for entry in again.entries
        ], user
        assert [entry.other_weight for entry in history.entries] == pytest.approx(
            [entry.other_weight for entry in again.entries]
        )


async def rebuild(database_url: str, *arguments: str, python: str = sys.executable) -> tuple[int, str]:
    process = start_rebuild(database_url, *arguments, python=python)
    output, _ = await asyncio.to_thread(process.communicate, timeout=100 if python == sys.executable else 400)
    return process.returncode, output


async def rebuilt(database_url: str, *arguments: str, python: str = sys.executable) -> str:
    code, output = await rebuild(database_url, *arguments, python=python)
    assert code == 0, output
    return output


async def rebuild_and_kill(
    database_url: str, pool: Pool, *arguments: str, once: Callable[[], Awaitable[bool]], within_sec: float = 60.0
) -> None:
    """Begins one and kills it once it is so far. It cannot swap the tables before that, however late we look, since
    somebody reads one of them; whoever counts goes on.
    """
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch("SELECT FROM item_pairs LIMIT 1")
        process = start_rebuild(database_url, *arguments)
        await until(once, within_sec)
        process.kill()
        await asyncio.to_thread(process.communicate, timeout=60)


async def generation(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT generation FROM feature_generations WHERE state = 'serving'")
    return found
